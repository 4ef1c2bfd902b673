// Package objectstore reads and writes the objects of a tenant's buckets: folders and S3 buckets.
//
// A bucket is named by a URL: file:///path for a folder, s3://bucket?region=…&endpoint=…&s3ForcePathStyle=true for a bucket of an S3
// service. The credentials of the latter stand in a file with the lines accessKey=… and secretKey=…; without one the SDK's own chain
// is asked (environment, workload identity).
//
// # Why not gocloud.dev/blob
//
// Both of its drivers rewrite keys (control characters and parts of "../" become __0x2f__, and a name that looks like that is
// taken for it), so a file can't always be called what a person called it. Its file driver also writes beside the data or drops the content
// type, hides files that end in .attrs, follows links out of the folder, and syncs nothing, so that what was delivered can be gone after a power
// cut. Neither driver can resume an upload. With these done here, over os.Root and the S3 client, there was nothing left for it to do.
//
// # Folders
//
// A key is the path of a file as a person sees it in the folder: any UTF-8 that CheckKey allows, nothing escaped, no files beside it. Only
// regular files are objects; links are passed over, and no path leads out of the folder. An object's tag is its inode, time of change and size. The content type is
// told by the extension. Deleting an object leaves its folder.
//
// # Uploads
//
// What is in progress lies in the private folder .tidegate/ of the bucket, which no listing shows and no key names. An upload is found again by its id; what was
// stored of it, the digest included, survives kill -9 but for the last 16 MiB of a file, or at S3 the part that was being sent and what was read behind it (8 MiB
// each, growing after 2000 parts). A file's upload is locked: a second process at the same id is told Unavailable. At S3 the tags of the parts tell whether somebody else
// interfered. Forgotten uploads are dropped after 14 days.
package objectstore
