package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/tenant"
)

// watchTenants tells the person at the terminal what becomes of a document that was changed: what is wrong with it, a fault a line, or that
// it is in force.
func watchTenants(ctx context.Context, dir string, out io.Writer) error {
	registry, err := tenant.Open(dir, zerolog.Nop(), rules.Validate)
	if err != nil {
		return err
	}
	told := ""
	go registry.Watch(ctx, time.Second, func() {
		said := tenantsNow(registry)
		if said == told { // a fault that is only told in other words by another reading
			return
		}
		told = said
		_, _ = fmt.Fprintf(out, "%s  tenants     %s\n", time.Now().Format("15:04:05.000"), said)
	})
	return nil
}

// tenantsNow says which tenants are in force, and what is wrong.
func tenantsNow(registry *tenant.Registry) string {
	var names []string
	for _, t := range registry.All() {
		names = append(names, t.ParticipantContextID)
	}
	said := "in force: " + strings.Join(names, ", ")
	if len(names) == 0 {
		said = "none is in force"
	}
	problems := registry.Problems()
	if len(problems) == 0 {
		return said
	}
	lines := slices.Concat(strings.Split(errors.Join(problems...).Error(), "\n"), []string{said + ", each as its last good document says"})
	return "refused:\n" + indent + strings.Join(lines, "\n"+indent)
}

// indent is as wide as the time and the word before it.
const indent = "                          "
