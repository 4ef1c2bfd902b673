package main

import (
	"flag"

	"github.com/tidegate/tidegate/infra/k8s/internal/lines"
)

// tenantCommand gives a tenant a line of functions, or takes it away.
func tenantCommand(args []string) error {
	var l lines.Line
	fs := flag.NewFlagSet("k8s tenant", flag.ContinueOnError)
	fs.StringVar(&l.Overlay, "overlay", "", "folder of the overlay")
	fs.StringVar(&l.Name, "name", "", "name of the line")
	fs.StringVar(&l.Document, "doc", "", "the tenant's document")
	remove := fs.Bool("remove", false, "take the line away")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if l.Overlay == "" || l.Name == "" || *remove == (l.Document != "") {
		return errUsage
	}
	if *remove {
		return lines.Remove(l.Overlay, l.Name)
	}
	l.Secrets = fs.Args()
	return lines.Add(l)
}
