package storetest

import (
	"bytes"
	"fmt"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
)

// caseLabel is the profiler label of a case's goroutines. Goroutines inherit it from
// those that start them, the goroutines of a store too.
const caseLabel = "storetest"

// packagePath is the prefix of this package's functions.
var packagePath = reflect.TypeFor[trial]().PkgPath()

// callers returns the stack of the calling goroutine, innermost first.
func callers(skip int) []runtime.Frame {
	pcs := make([]uintptr, 256)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(skip+1, pcs)])
	var stack []runtime.Frame
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		stack = append(stack, f)
	}
	return stack
}

// callIn names the function of the store in which a stack ends, and the line of the case
// that called it.
func callIn(stack []runtime.Frame) string {
	text := ""
	if i := storeCall(stack); i >= 0 {
		text = " in " + path.Base(stack[i].Function)
	}
	if at := caseLine(stack); at != "" {
		text += ", called at " + at
	}
	return text
}

// caseLine returns the line that the outermost function of the case has reached.
func caseLine(stack []runtime.Frame) string {
	for _, f := range slices.Backward(stack) {
		if isOwn(f) && !strings.Contains(f.Function, "(*trial)") && filepath.Base(f.File) != "storetest.go" {
			return position(f)
		}
	}
	return ""
}

// storeCall returns the index of the function that a case has called: in general a method
// of the store. It returns -1 if the case only waits.
func storeCall(stack []runtime.Frame) int {
	i := slices.IndexFunc(stack, isOwn) - 1
	if i < 0 || isWait(stack[i]) {
		return -1
	}
	return i
}

// isOwn reports whether a function belongs to this package. The stores that the tests of
// this package plant count as stores.
func isOwn(f runtime.Frame) bool {
	return strings.HasPrefix(f.Function, packagePath+".") && !strings.HasSuffix(f.File, "_test.go")
}

// isWait reports whether a function belongs to a package that cases wait with.
func isWait(f runtime.Frame) bool {
	name := strings.TrimPrefix(f.Function, "internal/")
	return strings.HasPrefix(name, "runtime.") || strings.HasPrefix(name, "sync.") || strings.HasPrefix(name, "time.")
}

// whereabouts lists what the goroutines of a case do: first the functions of the store,
// then the lines of the case that wait.
func whereabouts(name string) string {
	var calls, waits []string
	for _, g := range goroutinesOf(name) {
		if i := storeCall(g.stack); i >= 0 {
			calls = append(calls, fmt.Sprintf("\n  %d goroutine(s)%s", g.count, callIn(g.stack)))
		} else if at := caseLine(g.stack); at != "" {
			waits = append(waits, fmt.Sprintf("\n  %d goroutine(s) waiting at %s", g.count, at))
		}
	}
	all := append(calls, waits...)
	return strings.Join(all[:min(len(all), 3)], "")
}

// goroutines are goroutines that have the same stack.
type goroutines struct {
	count int
	stack []runtime.Frame // innermost first
}

var (
	profileHead  = regexp.MustCompile(`^(\d+) @`)
	profileFrame = regexp.MustCompile(`^#\t0x[0-9a-f]+\t(.+)\+0x[0-9a-f]+\t+(.+):(\d+)$`)
)

// goroutinesOf returns the goroutines that have the label of a case.
func goroutinesOf(name string) []goroutines {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return nil
	}
	var all []goroutines
	for block := range strings.SplitSeq(profile.String(), "\n\n") {
		if !strings.Contains(block, fmt.Sprintf("%q:%q", caseLabel, name)) {
			continue
		}
		var g goroutines
		for line := range strings.Lines(block) {
			line = strings.TrimSuffix(line, "\n")
			if m := profileHead.FindStringSubmatch(line); m != nil {
				g.count, _ = strconv.Atoi(m[1])
			} else if m := profileFrame.FindStringSubmatch(line); m != nil {
				n, _ := strconv.Atoi(m[3])
				g.stack = append(g.stack, runtime.Frame{Function: m[1], File: m[2], Line: n})
			}
		}
		all = append(all, g)
	}
	return all
}
