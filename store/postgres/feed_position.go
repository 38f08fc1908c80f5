package postgres

import (
	"strconv"
	"strings"

	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// position is a parsed [incident.FeedPosition]. It contains the transactions of a snapshot of the
// server, whose text is "xmin:xmax:xip,xip": all below xmax except each xip.
type position struct {
	history    string         // identifies the server, and its history since it last lost a commit
	begin      uint64         // xmin: all lower transactions are in the snapshot
	end        uint64         // xmax
	inProgress pq.StringArray // each xip, in ascending order
}

// parsePosition returns false for a text that is not a position of this version of the
// package.
func parsePosition(text incident.FeedPosition) (p position, ok bool) {
	cut := strings.LastIndexByte(string(text), '/')
	if cut < 0 {
		return p, false
	}
	p.history = string(text[:cut])
	return p, p.parseSnapshot(string(text[cut+1:]))
}

// parseSnapshot returns false for a text that the server would refuse as a snapshot.
func (p *position) parseSnapshot(text string) bool {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return false
	}
	var err1, err2 error
	p.begin, err1 = parseTransaction(parts[0])
	p.end, err2 = parseTransaction(parts[1])
	if err1 != nil || err2 != nil || p.begin == 0 || p.begin > p.end {
		return false
	}
	if parts[2] == "" {
		return true
	}
	last := uint64(0)
	for _, text := range strings.Split(parts[2], ",") {
		xip, err := parseTransaction(text)
		if err != nil || xip < p.begin || xip >= p.end || xip < last {
			return false
		}
		last = xip
		p.inProgress = append(p.inProgress, text)
	}
	return true
}

// parseTransaction parses a transaction number. It has 64 bits, and the first is always 0.
func parseTransaction(text string) (uint64, error) { return strconv.ParseUint(text, 10, 63) }

// follows reports whether p belongs to the same history as earlier, and is not before it.
func (p position) follows(earlier position) bool {
	return p.history == earlier.history && p.end >= earlier.end
}

// contains reports whether all transactions up to a number are in the snapshot of p. An empty
// number stands for none.
func (p position) contains(number string) bool {
	if number == "" {
		return true
	}
	n, err := parseTransaction(number)
	return err == nil && n < p.begin
}
