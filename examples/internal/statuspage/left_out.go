package statuspage

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxFaults bounds the faults that a [LeftOut] lists.
const maxFaults = 100

// LeftOut is the error for records that were left out: incidents, and updates of
// incidents. [Import] has imported the others.
type LeftOut struct {
	// Faults are at most 100 faults, in order of the file. Each is a line that begins with
	// name:line:column and names the record.
	Faults []error

	// More counts the records left out beyond Faults.
	More int
}

func (l *LeftOut) Error() string {
	lines := make([]string, 0, len(l.Faults)+1)
	for _, fault := range l.Faults {
		lines = append(lines, fault.Error())
	}
	if l.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more records", l.More))
	}
	return strings.Join(lines, "\n")
}

func (l *LeftOut) Unwrap() []error { return l.Faults }

// Len returns the number of records left out.
func (l *LeftOut) Len() int { return len(l.Faults) + l.More }

func (l *LeftOut) add(fault error) {
	if len(l.Faults) == maxFaults {
		l.More++
		return
	}
	l.Faults = append(l.Faults, fault)
}

// with returns the faults of both, or nil if there are none.
func (l *LeftOut) with(other *LeftOut) error {
	all := &LeftOut{More: l.More + other.More}
	faults := slices.Concat(l.Faults, other.Faults)
	slices.SortStableFunc(faults, func(a, b error) int { return cmp.Compare(offsetOf(a), offsetOf(b)) })
	for _, fault := range faults {
		all.add(fault)
	}
	if all.Len() == 0 {
		return nil
	}
	return all
}

// offsetOf returns the position of a fault in the file.
func offsetOf(fault error) int {
	if e, ok := errors.AsType[*fileError](fault); ok {
		return e.offset
	}
	return 0
}
