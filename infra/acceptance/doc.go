// Package acceptance proves the promises of the whole house on one machine, with the real programs as separate processes:
// everything is delivered once, whoever is killed and however the control plane misbehaves.
package acceptance
