// Package bench measures a gateway and the functions as they are built, each a process of its own, on loopback: signaling, the
// data endpoint, starts, memory. Where there is something to stand beside (Redis alone, nginx, Go's own reverse proxy), it is
// measured in the same run on the same machine, and the figure that counts is the ratio.
//
// Everything is bounded in time and count, lies in one folder that is removed at the end, and every process that was started
// is ended by its id, after Ctrl-C too.
package bench
