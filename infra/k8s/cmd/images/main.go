// Command images builds container images as OCI archives, offline: each program of Tidegate, static, for every platform asked for,
// under a user of its own, with a bundle of certificate authorities and a list of what it is made of. The same commit gives the same
// digests. It runs in the root of the repository.
//
//	images -out bin/images -repo dev.local/tidegate -tag dev [-arch amd64,arm64] [-version v] [-host-programs] [program…]
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"

	"github.com/tidegate/tidegate/infra/k8s/internal/oci"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// packages are the programs, by the package that each is built from.
var packages = map[string]string{
	"dps-gateway": "./dps-gateway/cmd/dps-gateway", "sandbox": "./infra/cmd/sandbox",
	"bucket-events": "./functions/bucket-events", "asset-publisher": "./functions/asset-publisher",
	"negotiation-approver": "./functions/negotiation-approver", "subscription-manager": "./functions/subscription-manager",
	"transfer-puller": "./functions/transfer-puller", "transfer-pusher": "./functions/transfer-pusher", "data-server": "./functions/data-server",
	"nats-stream": "./functions/nats-stream",
}

// settings are the flags, and what the commit says.
type settings struct {
	out, repo, tag, version, commit string
	archs                           []string
	created                         time.Time
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	var s settings
	fs := flag.NewFlagSet("images", flag.ContinueOnError)
	fs.StringVar(&s.out, "out", "bin/images", "folder for the archives")
	fs.StringVar(&s.repo, "repo", "dev.local/tidegate", "what images are named below")
	fs.StringVar(&s.tag, "tag", "dev", "tag")
	fs.StringVar(&s.version, "version", "devel", "version that the programs tell")
	archs := fs.String("arch", "amd64,arm64", "platforms, as GOARCH spells them")
	host := fs.String("host-programs", "", "programs of this machine to pack too: redis=/usr/bin/redis-server,…")
	if err := fs.Parse(args); err != nil {
		return err
	}
	s.archs = strings.Split(*archs, ",")
	if err := s.readCommit(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(s.out, 0o750); err != nil {
		return err
	}
	programs := fs.Args()
	if len(programs) == 0 && *host == "" {
		for p := range packages {
			programs = append(programs, p)
		}
		slices.Sort(programs)
	}
	for _, p := range programs {
		pkg, ok := packages[p]
		if !ok {
			return fmt.Errorf("no program %q: one of %s is expected", p, names())
		}
		if err := s.program(ctx, p, pkg, stdout); err != nil {
			return err
		}
	}
	for _, h := range strings.FieldsFunc(*host, func(r rune) bool { return r == ',' }) {
		name, file, ok := strings.Cut(h, "=")
		if !ok {
			return fmt.Errorf("-host-programs: %q: name=file is expected", h)
		}
		if err := s.hostProgram(ctx, name, file, stdout); err != nil {
			return err
		}
	}
	return nil
}

func names() string {
	var all []string
	for p := range packages {
		all = append(all, p)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// readCommit takes time and id from the commit: an image says when its source was written, not when it was built.
func (s *settings) readCommit(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct %H").Output()
	if err != nil {
		return fmt.Errorf("git log: %w", err)
	}
	seconds, commit, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	n, err := strconv.ParseInt(cmp.Or(os.Getenv("SOURCE_DATE_EPOCH"), seconds), 10, 64)
	if err != nil {
		return fmt.Errorf("the commit's time: %w", err)
	}
	s.created, s.commit = time.Unix(n, 0).UTC(), commit
	changes, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no").Output()
	if err != nil {
		return fmt.Errorf("git status: %w", err)
	}
	if len(changes) > 0 {
		s.commit += "-dirty"
	}
	return nil
}

func (s *settings) labels(name, description string) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title": name, "org.opencontainers.image.description": description,
		"org.opencontainers.image.version": s.version, "org.opencontainers.image.revision": s.commit,
		"org.opencontainers.image.created": s.created.Format(time.RFC3339), "org.opencontainers.image.source": "https://github.com/tidegate/tidegate",
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
}

func (s *settings) program(ctx context.Context, name, pkg string, stdout io.Writer) error {
	labels := s.labels(name, "Tidegate, the data plane for Eclipse dataspaces: "+name)
	images := map[string]v1.Image{}
	for _, arch := range s.archs {
		binary := filepath.Join(s.out, ".build", arch, name)
		content, err := s.build(ctx, pkg, binary, arch)
		if err != nil {
			return err
		}
		sbom, err := oci.SBOM(binary, name, s.version, s.created, sha256.Sum256(content))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(s.out, name+"."+arch+".spdx.json"), sbom, 0o644); err != nil { //nolint:gosec // no secret
			return err
		}
		at := "/usr/bin/" + name
		images[arch], err = oci.Image(oci.Spec{
			Arch: arch, Entrypoint: []string{at}, WorkDir: "/", Labels: labels, Created: s.created,
			Layers: [][]oci.File{oci.Base(), {{Path: at, Content: content, Mode: 0o555}, {Path: "/usr/share/doc/" + name + "/sbom.spdx.json", Content: sbom}}},
		})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return s.write(name, images, s.archs, labels, stdout)
}

// build compiles a static program. Nothing of this machine goes into it: no path, no state of the working tree.
func (s *settings) build(ctx context.Context, pkg, out, arch string) ([]byte, error) {
	const v = "github.com/tidegate/tidegate/shared/version."
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", //nolint:gosec // the arguments are ours
		"-ldflags=-s -w -X "+v+"Version="+s.version+" -X "+v+"Commit="+s.commit, "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=-mod=readonly", "GOWORK=", "GOAMD64=v1", "GOARM64=v8.0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("building %s for %s: %w", pkg, arch, err)
	}
	return os.ReadFile(out)
}

func (s *settings) hostProgram(ctx context.Context, name, file string, stdout io.Writer) error {
	at := "/usr/bin/" + path.Base(file)
	var licences []string
	if l := "/usr/share/doc/" + path.Base(file) + "/copyright"; exists(l) {
		licences = append(licences, l)
	}
	files, err := oci.HostProgram(ctx, file, at, licences...)
	if err != nil {
		return err
	}
	arch, err := exec.CommandContext(ctx, "go", "env", "GOHOSTARCH").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	a := strings.TrimSpace(string(arch))
	labels := map[string]string{"org.opencontainers.image.title": name, "org.opencontainers.image.description": path.Base(file) + " of the machine that built this, for development"}
	img, err := oci.Image(oci.Spec{Arch: a, Entrypoint: []string{at}, WorkDir: "/", Labels: labels, Created: s.created, Layers: [][]oci.File{oci.Base(), files}})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return s.write(name, map[string]v1.Image{a: img}, []string{a}, labels, stdout)
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return !errors.Is(err, os.ErrNotExist)
}

func (s *settings) write(name string, images map[string]v1.Image, archs []string, labels map[string]string, stdout io.Writer) error {
	idx, err := oci.Index(images, archs, labels)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	file := filepath.Join(s.out, name+".tar")
	digest, err := oci.WriteArchive(file, s.repo+"/"+name+":"+s.tag, idx, s.created)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s  %s/%s:%s  %s  %.1f MB\n", file, s.repo, name, s.tag, digest, float64(info.Size())/1e6)
	return err
}
