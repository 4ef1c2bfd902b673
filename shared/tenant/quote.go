package tenant

import "strconv"

// quote spells a value of a document in an error text: on one line, and cut if it is long.
func quote(v string) string {
	const most = 80
	r := []rune(v)
	if len(r) > most {
		return strconv.Quote(string(r[:most])) + "…"
	}
	return strconv.Quote(v)
}
