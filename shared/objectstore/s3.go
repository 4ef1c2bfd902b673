package objectstore

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	s3CallTimeout = 30 * time.Second // of a call without a body of size
	s3BulkTimeout = 5 * time.Minute  // of sending one part, and of putting the parts together
	s3Connections = 64
)

// s3Store is a bucket of an S3 service.
type s3Store struct {
	client    *s3.Client
	transport *http.Transport
	bucket    string
}

// s3URL is what a bucket's URL says.
type s3URL struct {
	bucket    string
	region    string
	endpoint  string
	pathStyle bool
}

func parseS3URL(u *url.URL) (s3URL, error) {
	out := s3URL{bucket: u.Host}
	if out.bucket == "" {
		return out, problem.Field("url", "names no bucket: expected s3://bucket?region=…")
	}
	if u.User != nil || strings.Trim(u.Path, "/") != "" {
		return out, problem.Field("url", "of bucket %s: expected s3://bucket?region=… without a user and a path", out.bucket)
	}
	for name, values := range u.Query() {
		value := values[0]
		switch name {
		case "region":
			out.region = value
		case "endpoint":
			if e, err := url.Parse(value); err != nil || e.Host == "" || (e.Scheme != "http" && e.Scheme != "https") {
				return out, problem.Field("url", "of bucket %s: endpoint %q is no http(s) URL", out.bucket, value)
			}
			out.endpoint = value
		case "s3ForcePathStyle", "use_path_style":
			b, err := strconv.ParseBool(value)
			if err != nil {
				return out, problem.Field("url", "of bucket %s: %s=%q is neither true nor false", out.bucket, name, value)
			}
			out.pathStyle = b
		default:
			return out, problem.Field("url", "of bucket %s: the parameter %q is not known: expected region, endpoint, s3ForcePathStyle", out.bucket, name)
		}
	}
	return out, nil
}

func openS3(ctx context.Context, u *url.URL, credentialsFile string) (Store, error) {
	where, err := parseS3URL(u)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: s3BulkTimeout, // bounds an object's beginning; calls have shorter ones of their own
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   s3Connections,
		ForceAttemptHTTP2:     true,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
	}
	cfg, err := s3Config(ctx, where, credentialsFile)
	if err != nil {
		return nil, err
	}
	cfg.HTTPClient = &http.Client{Transport: transport}
	s := &s3Store{bucket: where.bucket, transport: transport}
	s.client = s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = where.pathStyle
		if where.endpoint != "" {
			o.BaseEndpoint = aws.String(where.endpoint)
		}
		// Not every S3 service knows the newer checksums. Payloads are protected by the signature, objects by their SHA-256.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	ctx, cancel := context.WithTimeout(ctx, s3CallTimeout)
	defer cancel()
	if _, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.bucket}); err != nil {
		transport.CloseIdleConnections()
		return nil, problem.Wrap(problem.Unavailable, err, "the bucket %s can't be used", s.bucket)
	}
	return s, nil
}

// s3Config makes the SDK's configuration: with the file's credentials, or by the SDK's own chain (environment, workload identity, …).
func s3Config(ctx context.Context, where s3URL, credentialsFile string) (aws.Config, error) {
	region := where.region
	if region == "" && where.endpoint != "" {
		region = "us-east-1" // services that have no regions take this one
	}
	if credentialsFile == "" {
		var opts []func(*config.LoadOptions) error
		if region != "" {
			opts = append(opts, config.WithRegion(region))
		}
		cfg, err := config.LoadDefaultConfig(ctx, opts...)
		if err != nil {
			return cfg, problem.Wrap(problem.Unavailable, err, "the credentials of bucket %s", where.bucket)
		}
		if cfg.Region == "" {
			return cfg, problem.Field("url", "of bucket %s: region is missing", where.bucket)
		}
		return cfg, nil
	}
	if region == "" {
		return aws.Config{}, problem.Field("url", "of bucket %s: region is missing", where.bucket)
	}
	access, secret, err := readCredentials(credentialsFile)
	if err != nil {
		return aws.Config{}, err
	}
	return aws.Config{Region: region, Credentials: credentials.NewStaticCredentialsProvider(access, secret, "")}, nil
}

// readCredentials reads lines accessKey=… and secretKey=….
func readCredentials(file string) (access, secret string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", "", problem.Field("credentialsFile", "can't be read: %w", err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		switch strings.TrimSpace(name) {
		case "accessKey":
			access = strings.TrimSpace(value)
		case "secretKey":
			secret = strings.TrimSpace(value)
		default: // the line is not shown: it may be a secret
			return "", "", problem.Field("credentialsFile", "%s:%d: expected accessKey=… or secretKey=…", file, n)
		}
	}
	if err := lines.Err(); err != nil {
		return "", "", problem.Field("credentialsFile", "can't be read: %w", err)
	}
	if access == "" || secret == "" {
		return "", "", problem.Field("credentialsFile", "%s: expected the lines accessKey=… and secretKey=…", file)
	}
	return access, secret, nil
}

func (s *s3Store) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}
