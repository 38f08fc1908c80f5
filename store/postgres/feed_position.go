package postgres

import (
	"strconv"
	"strings"

	"github.com/incidentkit/incident"
)

// position is a parsed [incident.FeedPosition].
type position struct {
	history string // identifies the server, and its history since it last lost a commit
	shown   snapshot
	end     uint64 // the lowest transaction number that was unassigned when shown was taken
}

// snapshot is the text of a pg_snapshot, "xmin:xmax:xip,xip". It excludes all transactions
// from xmax on, and each xip.
type snapshot string

// parsePosition returns false for a text that is not a position of this version of the
// package.
func parsePosition(text incident.FeedPosition) (p position, ok bool) {
	cut := strings.LastIndexByte(string(text), '/')
	if cut < 0 {
		return p, false
	}
	p.history, p.shown = string(text[:cut]), snapshot(text[cut+1:])
	p.end, ok = p.shown.end()
	return p, ok
}

// end returns the xmax of a snapshot, and false for a text that the server would refuse.
func (s snapshot) end() (xmax uint64, ok bool) {
	parts := strings.Split(string(s), ":")
	if len(parts) != 3 {
		return 0, false
	}
	xmin, err1 := parseTransaction(parts[0])
	xmax, err2 := parseTransaction(parts[1])
	if err1 != nil || err2 != nil || xmin == 0 || xmin > xmax {
		return 0, false
	}
	if parts[2] == "" {
		return xmax, true
	}
	last := uint64(0)
	for _, text := range strings.Split(parts[2], ",") {
		xip, err := parseTransaction(text)
		if err != nil || xip < xmin || xip >= xmax || xip < last {
			return 0, false
		}
		last = xip
	}
	return xmax, true
}

// parseTransaction parses a transaction number. It has 64 bits, and the first is always 0.
func parseTransaction(text string) (uint64, error) { return strconv.ParseUint(text, 10, 63) }

// follows reports whether p belongs to the same history as earlier, and is not before it.
func (p position) follows(earlier position) bool {
	return p.history == earlier.history && p.end >= earlier.end
}
