package tenant

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/shared/problem"
)

// maxFaults bounds the text about one document: a wrong indent can make every line of it a fault.
const maxFaults = 50

// FaultError is one thing that is wrong with a document. Its text is one line: file:line: field: what is wrong and what is
// expected. It unwraps to a problem.Error of kind Invalid.
type FaultError struct {
	File string
	Line int // 0 = the file as a whole
	Err  *problem.Error
}

// Error returns the line that a person reads.
func (f *FaultError) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.Err.Error()
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Err.Error())
}

// Unwrap returns the problem.
func (f *FaultError) Unwrap() error { return f.Err }

// faults collects what is wrong with one document. Only the first fault of a field counts: a value of the wrong type
// shall not be called missing as well.
type faults struct {
	file  string
	lines map[string]int
	list  []*FaultError
	at    map[string]bool
}

func newFaults(file string) *faults {
	return &faults{file: file, lines: map[string]int{}, at: map[string]bool{}}
}

// add records a fault of the field at path; its line is the field's, or that of the nearest part around it that is there.
func (f *faults) add(path, format string, args ...any) {
	f.addError(problem.Field(path, format, args...))
}

func (f *faults) addError(err *problem.Error) {
	for p := err.Field; p != ""; p = parent(p) {
		if f.at[p] {
			return
		}
	}
	if err.Field != "" {
		f.at[err.Field] = true
	}
	f.list = append(f.list, &FaultError{File: f.file, Line: f.line(err.Field), Err: err})
}

// addValidator records what a Validator returned: a problem, several joined, or an error without a field.
func (f *faults) addValidator(err error) {
	if err == nil {
		return
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			f.addValidator(e)
		}
		return
	}
	if p, ok := errors.AsType[*problem.Error](err); ok {
		f.addError(p)
		return
	}
	f.addError(problem.New(problem.Invalid, "%w", err))
}

func (f *faults) line(path string) int {
	for ; path != ""; path = parent(path) {
		if n, ok := f.lines[path]; ok {
			return n
		}
	}
	return 1
}

// err returns all faults in the order of their lines, or nil.
func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	slices.SortStableFunc(f.list, func(a, b *FaultError) int { return a.Line - b.Line })
	var errs []error
	for i, e := range f.list {
		if i == maxFaults {
			errs = append(errs, &FaultError{File: f.file, Err: problem.New(problem.Invalid, "%d more faults", len(f.list)-i)})
			break
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// parent cuts the last step off a path: approve.rules[1].then → approve.rules[1] → approve.rules → approve → "".
func parent(path string) string {
	if i := strings.LastIndexAny(path, ".["); i > 0 {
		return path[:i]
	}
	return ""
}
