// Command dns is the DNS server of the one-machine cluster: it knows the names of Services, {service}.{namespace}.svc.{domain}, and
// nothing else. A headless Service has the addresses of its ready endpoints.
package main

import (
	"errors"
	"flag"
	"log"
	"net"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/clientcmd"
)

// ttl is how many seconds a client may keep an answer: Services come and go quickly in tests.
const ttl = 2

// maxAliases bounds a chain of ExternalName Services.
const maxAliases = 4

func main() {
	kubeconfig := flag.String("kubeconfig", "", "file of the API server's address and this program's identity")
	addr := flag.String("addr", "127.0.0.1:53", "UDP address to listen at")
	domain := flag.String("domain", "cluster.local", "domain of the cluster")
	flag.Parse()
	log.Fatal(serve(*kubeconfig, *addr, *domain))
}

func serve(kubeconfig, addr, domain string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 10*time.Minute)
	r := resolver{
		suffix:    ".svc." + domain,
		services:  factory.Core().V1().Services().Lister(),
		endpoints: factory.Discovery().V1().EndpointSlices().Lister(),
	}
	factory.Start(nil)
	factory.WaitForCacheSync(nil)
	conn, err := net.ListenPacket("udp4", addr)
	if err != nil {
		return err
	}
	buf := make([]byte, 1500)
	for {
		n, peer, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		answer, err := r.answer(buf[:n])
		if err != nil {
			log.Printf("from %v: %v", peer, err)
			continue
		}
		if _, err := conn.WriteTo(answer, peer); err != nil {
			log.Printf("to %v: %v", peer, err)
		}
	}
}

type resolver struct {
	suffix    string
	services  corelisters.ServiceLister
	endpoints discoverylisters.EndpointSliceLister
}

// lookup finds a Service by its name: its addresses, or the name that it is an alias of.
func (r resolver) lookup(name string) (ips [][4]byte, alias string, found bool) {
	name, inDomain := strings.CutSuffix(strings.ToLower(strings.TrimSuffix(name, ".")), r.suffix)
	service, namespace, ok := strings.Cut(name, ".")
	if !inDomain || !ok {
		return nil, "", false
	}
	s, err := r.services.Services(namespace).Get(service)
	if err != nil {
		return nil, "", false
	}
	switch {
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		return nil, s.Spec.ExternalName, true
	case s.Spec.ClusterIP == corev1.ClusterIPNone:
		return r.ready(namespace, service), "", true
	default:
		return appendIP(nil, s.Spec.ClusterIP), "", true
	}
}

// ready are the addresses of a headless Service.
func (r resolver) ready(namespace, service string) [][4]byte {
	slices, err := r.endpoints.EndpointSlices(namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service}))
	if err != nil {
		return nil
	}
	var ips [][4]byte
	for _, s := range slices {
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				for _, a := range e.Addresses {
					ips = appendIP(ips, a)
				}
			}
		}
	}
	return ips
}

func appendIP(ips [][4]byte, s string) [][4]byte {
	if ip := net.ParseIP(s).To4(); ip != nil {
		return append(ips, [4]byte(ip))
	}
	return ips
}

// answer answers one query.
func (r resolver) answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	if len(m.Questions) != 1 {
		return nil, errors.New("one question is expected")
	}
	q := m.Questions[0]
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionDesired: m.RecursionDesired, RecursionAvailable: true},
		Questions: m.Questions,
	}
	name, known := q.Name, false
	for range maxAliases {
		ips, alias, found := r.lookup(name.String())
		if !found {
			break
		}
		known = true
		header := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: ttl}
		if alias == "" {
			if q.Type == dnsmessage.TypeA {
				for _, ip := range ips {
					reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: ip}})
				}
			}
			break
		}
		target, err := dnsmessage.NewName(strings.TrimSuffix(alias, ".") + ".")
		if err != nil {
			return nil, err
		}
		header.Type = dnsmessage.TypeCNAME
		reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.CNAMEResource{CNAME: target}})
		name = target
	}
	if !known {
		reply.RCode = dnsmessage.RCodeNameError
	}
	return reply.Pack()
}
