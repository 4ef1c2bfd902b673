package bench

import (
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Machine is where it was measured.
type Machine struct {
	Cores     int     `json:"cores"`
	CPU       string  `json:"cpu"`
	System    string  `json:"system"`
	Go        string  `json:"go"`
	Load      float64 `json:"loadAtStart"` // average over one minute
	LoadAtEnd float64 `json:"loadAtEnd"`
}

func machine() Machine {
	m := Machine{Cores: runtime.NumCPU(), CPU: "unknown", System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), Load: loadAverage()}
	info, _ := os.ReadFile("/proc/cpuinfo") // not there: unknown
	for l := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	return m
}

// loadAverage of the last minute; 0 where the system does not tell.
func loadAverage() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	v, _ := strconv.ParseFloat(first, 64) // 0 if it is no number
	return v
}
