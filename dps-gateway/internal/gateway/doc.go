// Package gateway puts the gateway together: it reads what the configuration names, opens the listeners, runs the parts, and
// takes them down in reverse order.
//
// Four listeners: signaling for control planes, public for other participants, internal for functions, the broker and
// operators, and one for health and metrics. A fault of the configuration, a file that is missing or broken, and an address that
// is in use are errors of Open, all that can be known together, and nothing is started then. A Redis that can't be reached is
// no such fault: the gateway starts, says so in /readyz, and serves when Redis does.
package gateway
