-- One value, sealed with the installation's keyset: a process that cannot open it has another keyset. The first process to start
-- writes it, and the first with a new primary key seals it again.
CREATE TABLE keyset_check (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  sealed bytea NOT NULL
);
