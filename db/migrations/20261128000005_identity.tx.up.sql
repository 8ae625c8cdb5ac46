-- email_identity is the lower-case address by which invitations find this candidate. A company has at most one live candidate for
-- each. NULL: no invitation has matched it by address. Candidates with the same address that exist already stay as they are: the next
-- invitation gives the address to one of them. A version that does not know the column neither sets nor violates it.
ALTER TABLE candidates ADD COLUMN email_identity text;
CREATE UNIQUE INDEX candidates_email_identity ON candidates (company_id, email_identity)
  WHERE deleted_at IS NULL AND email_identity IS NOT NULL;
