// Package media keeps the files that people upload: answer videos and welcome videos, photos and CVs.
//
// A file is written once under a name of its own and never changed: a replacement is a new file under a new name. So
// a name is as good as a checksum (it is the entity tag), a reader is never surprised by a writer, and the database
// row, which names its file, is the one place that says which file counts. A file is never whole in memory, on its
// way in or out.
//
// Two stores keep the same promises: a directory of this machine, and a bucket of a service that speaks S3.
package media
