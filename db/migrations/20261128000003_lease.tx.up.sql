-- Each activity that loads a batch takes its lease: a higher number. One that finds another number than its own stops, so that
-- two workers are never at one batch.
ALTER TABLE delivery_batches ADD COLUMN lease int NOT NULL DEFAULT 0;
