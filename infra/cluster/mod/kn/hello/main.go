// Command hello is the smallest function: it answers 200 to anything. Its cold start is the yardstick for those of others. With DIAL set
// it only tries to connect to that address, and its exit status tells whether the network let it.
package main

import (
	"cmp"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	if addr := os.Getenv("DIAL"); addr != "" {
		conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err != nil {
			log.Fatal(err)
		}
		_ = conn.Close() // nothing was said
		return
	}
	server := &http.Server{Addr: ":" + cmp.Or(os.Getenv("PORT"), "8080"), Handler: http.HandlerFunc(answer), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

func answer(w http.ResponseWriter, r *http.Request) {
	log.Printf("%s %s type=%s id=%s", r.Method, r.URL.Path, r.Header.Get("Ce-Type"), r.Header.Get("Ce-Id"))
	_, _ = io.Copy(io.Discard, r.Body) // what is sent does not matter
	w.WriteHeader(http.StatusOK)
}
