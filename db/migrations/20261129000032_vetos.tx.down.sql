DROP TABLE vetos;
