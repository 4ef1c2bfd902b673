package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// certificateLife is much longer than a cluster of this kind lives.
const certificateLife = 30 * 24 * time.Hour

// identity is one certificate: who it names, and where it may serve.
type identity struct {
	file         string
	name         string
	organization string
	dns          []string
	ips          []string
	kubeconfig   bool
}

var identities = []identity{
	{
		file: "apiserver", name: "kube-apiserver",
		dns: []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain, "localhost"},
		ips: []string{"127.0.0.1", apiService, nodeIP},
	},
	{file: "kubelet-server", name: nodeName, dns: []string{nodeName}, ips: []string{nodeIP, "127.0.0.1"}},
	{file: "apiserver-kubelet", name: "apiserver-kubelet", organization: "system:masters"},
	{file: "admin", name: "admin", organization: "system:masters", kubeconfig: true},
	{file: "controller-manager", name: "system:kube-controller-manager", kubeconfig: true},
	{file: "scheduler", name: "system:kube-scheduler", kubeconfig: true},
	{file: "proxy", name: "system:kube-proxy", kubeconfig: true},
	{file: "kubelet", name: "system:node:" + nodeName, organization: "system:nodes", kubeconfig: true},
}

// writePKI makes a certificate authority, all certificates, the key that signs service-account tokens, and the kubeconfigs.
func (l Layout) writePKI() error {
	if err := os.MkdirAll(l.pki(""), 0o700); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	ca := newCertificate("tidegate-cluster", "")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	if err := l.writeCertificate("ca", ca, ca, caKey, caKey); err != nil {
		return err
	}
	for _, id := range identities {
		if err := l.issue(id, ca, caKey); err != nil {
			return err
		}
	}
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("service-account key: %w", err)
	}
	return writePEM(l.pki("service-accounts.key"), "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(signer))
}

func (l Layout) issue(id identity, ca *x509.Certificate, caKey *ecdsa.PrivateKey) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	cert := newCertificate(id.name, id.organization)
	cert.DNSNames, cert.KeyUsage, cert.ExtKeyUsage = id.dns, x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for _, ip := range id.ips {
		cert.IPAddresses = append(cert.IPAddresses, net.ParseIP(ip))
		cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	if err := l.writeCertificate(id.file, cert, ca, key, caKey); err != nil || !id.kubeconfig {
		return err
	}
	config := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: tidegate, cluster: {server: "https://127.0.0.1:%s", certificate-authority: %q}}]
users: [{name: %[3]s, user: {client-certificate: %[4]q, client-key: %[5]q}}]
contexts: [{name: tidegate, context: {cluster: tidegate, user: %[3]s}}]
current-context: tidegate
`, apiPort, l.pki("ca.crt"), id.file, l.pki(id.file+".crt"), l.pki(id.file+".key"))
	if err := os.WriteFile(l.kubeconfig(id.file), []byte(config), 0o600); err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	return nil
}

func newCertificate(name, organization string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic("no random numbers: " + err.Error())
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(certificateLife),
	}
	if organization != "" {
		t.Subject.Organization = []string{organization}
	}
	return t
}

func (l Layout) writeCertificate(file string, cert, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, parentKey)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", file, err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("key %s: %w", file, err)
	}
	if err := writePEM(l.pki(file+".crt"), "CERTIFICATE", der); err != nil {
		return err
	}
	return writePEM(l.pki(file+".key"), "EC PRIVATE KEY", keyDER)
}

func writePEM(file, kind string, der []byte) error {
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	return nil
}
