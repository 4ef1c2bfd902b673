// Command ingress is the ingress of the one-machine cluster: it watches the Ingress objects that Knative Serving writes for its
// class, says that they are ready, and passes requests on by their Host to the Service of the split, with the split's headers.
// It stands in for the ingresses of the field: no TLS, no probing, no time-outs of its own.
package main

import (
	"context"
	"flag"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"knative.dev/networking/pkg/apis/networking"
	"knative.dev/networking/pkg/apis/networking/v1alpha1"
	"knative.dev/networking/pkg/client/clientset/versioned"
	"knative.dev/networking/pkg/client/informers/externalversions"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "file of the API server's address and this program's identity")
	addr := flag.String("addr", "127.0.0.1:8000", "address to listen at")
	class := flag.String("class", "", "class of the Ingress objects that are this program's")
	internal := flag.String("internal", "", "name by which the cluster reaches this program")
	flag.Parse()
	log.Fatal(serve(*kubeconfig, *addr, *class, *internal))
}

func serve(kubeconfig, addr, class, internal string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := versioned.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := externalversions.NewSharedInformerFactory(client, 30*time.Second)
	informer := factory.Networking().V1alpha1().Ingresses().Informer()
	w := &watcher{client: client, store: informer.GetStore(), class: class, internal: internal}
	w.rebuild()
	changed := func(any) { w.rebuild() }
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: w.changed, UpdateFunc: func(_, now any) { w.changed(now) }, DeleteFunc: changed,
	}); err != nil {
		return err
	}
	factory.Start(nil)
	factory.WaitForCacheSync(nil)
	server := &http.Server{Addr: addr, Handler: &proxy{watcher: w, transport: transport()}, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

// watcher keeps the routes: host → paths.
type watcher struct {
	client          versioned.Interface
	store           cache.Store
	class, internal string
	routes          atomic.Pointer[map[string][]v1alpha1.HTTPIngressPath]
}

func (w *watcher) ours(i *v1alpha1.Ingress) bool {
	return networking.GetIngressClass(i.Annotations) == w.class
}

func (w *watcher) rebuild() {
	routes := map[string][]v1alpha1.HTTPIngressPath{}
	for _, o := range w.store.List() {
		i, ok := o.(*v1alpha1.Ingress)
		if !ok || !w.ours(i) {
			continue
		}
		for _, rule := range i.Spec.Rules {
			for _, host := range rule.Hosts {
				routes[host] = rule.HTTP.Paths
			}
		}
	}
	w.routes.Store(&routes)
}

// changed takes a new route in and says in the object's status that it is in force.
func (w *watcher) changed(o any) {
	w.rebuild()
	i, ok := o.(*v1alpha1.Ingress)
	if !ok || !w.ours(i) {
		return
	}
	now := i.DeepCopy()
	now.Status.InitializeConditions()
	now.Status.MarkNetworkConfigured()
	at := []v1alpha1.LoadBalancerIngressStatus{{DomainInternal: w.internal}}
	now.Status.MarkLoadBalancerReady(at, at)
	now.Status.ObservedGeneration = i.Generation
	if equality.Semantic.DeepEqual(now.Status, i.Status) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := w.client.NetworkingV1alpha1().Ingresses(now.Namespace).UpdateStatus(ctx, now, metav1.UpdateOptions{}); err != nil {
		log.Printf("status of %s/%s: %v", now.Namespace, now.Name, err) // the next resync tries again
	}
}

func transport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.DialContext = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	t.DisableKeepAlives = true // what is behind the Service's address changes when a revision scales to or from zero
	return t
}

type proxy struct {
	*watcher
	transport http.RoundTripper
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	for _, path := range (*p.routes.Load())[host] {
		if !strings.HasPrefix(r.URL.Path, path.Path) || len(path.Splits) == 0 {
			continue
		}
		split := choose(path.Splits, rand.IntN(100))
		target := &url.URL{Scheme: "http", Host: net.JoinHostPort(split.ServiceName+"."+split.ServiceNamespace+".svc.cluster.local", split.ServicePort.String())}
		(&httputil.ReverseProxy{Transport: p.transport, FlushInterval: -1, Rewrite: func(out *httputil.ProxyRequest) {
			out.SetURL(target)
			out.Out.Host = out.In.Host
			if path.RewriteHost != "" {
				out.Out.Host = path.RewriteHost
			}
			for _, headers := range []map[string]string{path.AppendHeaders, split.AppendHeaders} {
				for k, v := range headers {
					out.Out.Header.Set(k, v)
				}
			}
		}}).ServeHTTP(w, r)
		return
	}
	http.NotFound(w, r)
}

// choose takes the split in whose part of a hundred n falls.
func choose(splits []v1alpha1.IngressBackendSplit, n int) v1alpha1.IngressBackendSplit {
	for _, s := range splits {
		if n -= s.Percent; n < 0 {
			return s
		}
	}
	return splits[len(splits)-1]
}
