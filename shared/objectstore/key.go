package objectstore

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	maxKey     = 1024 // bytes of a key, as S3 has it
	maxSegment = 255  // bytes of a file's name, as Linux file systems have it

	// private is the folder of a bucket where uploads in progress are. It never shows in a listing and no key lies in it.
	private = ".tidegate"
)

// CheckKey tells whether a key can name an object in every kind of store: UTF-8 of 1 to 1024 bytes, segments separated by
// single slashes, none of them "." or "..", no backslash, no control character, not below .tidegate/. The error is of kind Invalid.
func CheckKey(key string) error {
	bad := func(what string) error { return problem.Field("key", "%.80q %s", key, what) }
	switch {
	case key == "":
		return bad("is empty")
	case len(key) > maxKey:
		return bad("is longer than 1024 bytes")
	case !utf8.ValidString(key):
		return bad("is not UTF-8")
	case strings.HasPrefix(key, "/"):
		return bad("is absolute: it must be relative to the bucket")
	case strings.HasSuffix(key, "/"):
		return bad("ends in a slash: it must name an object, not a folder")
	case strings.ContainsRune(key, '\\'):
		return bad("has a backslash: segments are separated by /")
	case strings.ContainsFunc(key, unicode.IsControl):
		return bad("has a control character")
	case key == private || strings.HasPrefix(key, private+"/"):
		return bad("lies in the folder of uploads in progress")
	}
	for segment := range strings.SplitSeq(key, "/") {
		switch segment {
		case "":
			return bad("has an empty segment")
		case ".", "..":
			return bad(`has the segment "` + segment + `"`)
		}
	}
	return nil
}

// checkFileKey is CheckKey and what a file system asks in addition.
func checkFileKey(key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	for segment := range strings.SplitSeq(key, "/") {
		if len(segment) > maxSegment {
			return problem.Field("key", "%.80q has a segment longer than 255 bytes", key)
		}
	}
	return nil
}

// contentTypes are the media types of files by extension. A table of our own and not package mime, whose answer depends on
// what is installed on the machine: the type ends up in catalogs, where it must not change with the pod.
var contentTypes = map[string]string{
	".7z": "application/x-7z-compressed", ".arrow": "application/vnd.apache.arrow.file", ".avro": "application/vnd.apache.avro",
	".avif": "image/avif", ".bmp": "image/bmp", ".bz2": "application/x-bzip2", ".css": "text/css", ".csv": "text/csv",
	".doc": "application/msword", ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".geojson": "application/geo+json", ".gif": "image/gif", ".gz": "application/gzip", ".htm": "text/html", ".html": "text/html",
	".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".js": "text/javascript", ".json": "application/json", ".jsonl": "application/jsonl",
	".jsonld": "application/ld+json", ".log": "text/plain", ".md": "text/markdown", ".mp3": "audio/mpeg", ".mp4": "video/mp4",
	".ndjson": "application/x-ndjson", ".nt": "application/n-triples", ".ods": "application/vnd.oasis.opendocument.spreadsheet",
	".odt": "application/vnd.oasis.opendocument.text", ".parquet": "application/vnd.apache.parquet", ".pdf": "application/pdf",
	".png": "image/png", ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	".rdf": "application/rdf+xml", ".sql": "application/sql", ".step": "model/step", ".stl": "model/stl", ".stp": "model/step",
	".svg": "image/svg+xml", ".tar": "application/x-tar", ".tif": "image/tiff", ".tiff": "image/tiff",
	".tsv": "text/tab-separated-values", ".ttl": "text/turtle", ".txt": "text/plain", ".wasm": "application/wasm", ".wav": "audio/wav",
	".webp": "image/webp", ".xls": "application/vnd.ms-excel", ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".xml": "application/xml", ".yaml": "application/yaml", ".yml": "application/yaml", ".zip": "application/zip", ".zst": "application/zstd",
}

// ContentType is the media type of an object by the extension of its key; application/octet-stream if that says nothing.
func ContentType(key string) string {
	if t, ok := contentTypes[strings.ToLower(path.Ext(key))]; ok {
		return t
	}
	return "application/octet-stream"
}
