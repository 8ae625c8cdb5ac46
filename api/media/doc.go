// Package media stores uploaded files: answer videos, welcome videos, photos and CVs.
//
// A file is written once under a unique name and never modified: a replacement is a new file under a new name. So the
// name serves as the entity tag, and readers and writers never conflict. The database row names its file and is the
// only source of truth for which file is in use. Files are streamed, never held in memory as a whole.
//
// There are two stores with the same guarantees: a local directory, and a bucket of a service that speaks S3.
package media
