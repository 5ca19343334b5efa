// Package tap prints results in the Test Anything Protocol, version 13 (https://testanything.org).
//
// OCI's validation suite imports a package of this shape that Debian does not have; this one has what the suite calls.
package tap

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// T numbers the results that it prints.
type T struct {
	out   io.Writer
	count *int
	todo  bool
}

// New returns a T that prints to the standard output and has no result yet.
func New() *T {
	return &T{out: os.Stdout, count: new(int)}
}

// Header prints the version, and the plan if the number of results is known already.
func (t *T) Header(planned int) {
	fmt.Fprintln(t.out, "TAP version 13")
	if planned > 0 {
		fmt.Fprintf(t.out, "1..%d\n", planned)
	}
}

// AutoPlan prints the plan after the fact: as many results as there were.
func (t *T) AutoPlan() {
	fmt.Fprintf(t.out, "1..%d\n", *t.count)
}

// Ok prints one result.
func (t *T) Ok(passed bool, description string) {
	verdict := "ok"
	if !passed {
		verdict = "not ok"
	}
	directive := ""
	if t.todo {
		directive = " # TODO"
	}
	*t.count++
	fmt.Fprintf(t.out, "%s %d - %s%s\n", verdict, *t.count, oneLine(description), directive)
}

// Pass is Ok for what has passed.
func (t *T) Pass(description string) {
	t.Ok(true, description)
}

// Fail is Ok for what has failed.
func (t *T) Fail(description string) {
	t.Ok(false, description)
}

// Skip prints as many results as were not even tried, with the reason.
func (t *T) Skip(count int, reason string) {
	for ; count > 0; count-- {
		*t.count++
		fmt.Fprintf(t.out, "ok %d # SKIP %s\n", *t.count, oneLine(reason))
	}
}

// Todo returns a T with the same numbering whose results nobody expects to pass.
func (t *T) Todo() *T {
	return &T{out: t.out, count: t.count, todo: true}
}

// Diagnostic prints a comment.
func (t *T) Diagnostic(message string) {
	for _, line := range strings.Split(strings.TrimRight(message, "\n"), "\n") {
		fmt.Fprintln(t.out, "# "+line)
	}
}

// Diagnosticf is Diagnostic for a format.
func (t *T) Diagnosticf(format string, arguments ...interface{}) {
	t.Diagnostic(fmt.Sprintf(format, arguments...))
}

// YAML prints details of the result before it; JSON is YAML too.
func (t *T) YAML(details interface{}) error {
	text, err := json.MarshalIndent(details, "  ", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.out, "  ---\n  %s\n  ...\n", text)
	return err
}

func oneLine(text string) string {
	return strings.Join(strings.Fields(text), " ")
}
