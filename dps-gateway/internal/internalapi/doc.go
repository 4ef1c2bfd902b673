// Package internalapi serves the gateway's internal listener: what functions, the broker and operators call. The contract is
// shared/gatewayapi, the paths are those of its client, the description is openapi/internal.yaml.
//
// Every call presents the bearer secret of the deployment; without it every path answers the same 401. A participant context
// that is unknown, suspended or malformed answers one 404, whatever follows it in the path.
package internalapi
