DROP TABLE keyset_check;
