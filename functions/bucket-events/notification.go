package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"

	"github.com/tidegate/tidegate/shared/problem"
)

// maxRecords bounds one notification: AWS and MinIO send one record, a relay may gather some.
const maxRecords = 1000

// spelling says how keys stand in notifications. A key with "+" or "%" can't be told from an encoded one, so it is a setting.
type spelling string

const (
	spellingForm spelling = "form" // form-encoded, a space is "+": AWS S3, MinIO
	spellingRaw  spelling = "raw"  // as they are: versitygw
)

func (s spelling) valid() bool { return s == spellingForm || s == spellingRaw }

func (s spelling) decode(key string) (string, error) {
	if s == spellingRaw {
		return key, nil
	}
	return url.QueryUnescape(key)
}

// record is one record of an S3 notification, as far as it matters: which object, and what tells this happening from others.
// What has become of the object is not taken from it but from the bucket: sizes and tags in notifications are missing, quoted
// or wrong, depending on who sends them.
type record struct {
	Key   string
	Which string
}

// decodeNotification reads an S3 notification (event message structure 2.x) as AWS, MinIO and versitygw send it. A test
// message has no records. Records of other families than ObjectCreated and ObjectRemoved are left out.
func decodeNotification(body []byte, keys spelling) ([]record, error) {
	var message struct {
		Records []struct {
			EventName string `json:"eventName"` // MinIO and versitygw with the prefix "s3:"
			EventTime string `json:"eventTime"`
			S3        struct {
				Object struct {
					Key       string          `json:"key"`
					ETag      string          `json:"eTag"`
					VersionID string          `json:"versionId"`
					Sequencer json.RawMessage `json:"sequencer"` // a string, by some a number
				} `json:"object"`
			} `json:"s3"`
		} `json:"Records"`
	}
	if err := json.Unmarshal(body, &message); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the body is no S3 notification")
	}
	if len(message.Records) > maxRecords {
		return nil, problem.New(problem.TooLarge, "%d records are more than the %d that one notification may have", len(message.Records), maxRecords)
	}
	var records []record
	for i, r := range message.Records {
		event := strings.TrimPrefix(r.EventName, "s3:")
		if !strings.HasPrefix(event, "ObjectCreated:") && !strings.HasPrefix(event, "ObjectRemoved:") {
			continue
		}
		key, err := keys.decode(r.S3.Object.Key)
		if err != nil || key == "" {
			e := problem.New(problem.Invalid, "record %d: the key is missing or not %s-encoded", i, keys)
			e.Field, e.Cause = "Records.s3.object.key", err
			return nil, e
		}
		which := strings.Join([]string{event, r.EventTime, r.S3.Object.VersionID, string(r.S3.Object.Sequencer)}, " ")
		records = append(records, record{Key: key, Which: which})
	}
	return records, nil
}

// readBody reads a notification's body of at most limit bytes.
func readBody(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the body can't be read")
	}
	if int64(len(body)) > limit {
		return nil, problem.Wrap(problem.TooLarge, errors.New("body over limit"), "the body is over %d bytes", limit)
	}
	return body, nil
}
