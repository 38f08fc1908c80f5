package incident

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of input.
const (
	// MaxTitleLength is the most characters of a title.
	MaxTitleLength = 1000
	// MaxCommentSize is the most bytes of a comment.
	MaxCommentSize = 65_536
	// MaxMentions is the most users that a comment can mention.
	MaxMentions = 1000
	// MaxIDSize is the most bytes of an identifier of the host.
	MaxIDSize = 255
	// MaxClockLead is how far in the future a date may be. Clocks differ, but a date
	// beyond that is a mistake.
	MaxClockLead = 24 * time.Hour
)

var (
	minDate = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	maxDate = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
)

// canonical returns a time in the form that every store returns unchanged: UTC, in whole
// microseconds, without a monotonic clock reading.
func canonical(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// checkDate validates a date of the caller and returns it in canonical form. For the zero
// time it returns otherwise.
func checkDate(field string, t, otherwise, now time.Time) (time.Time, error) {
	switch {
	case t.IsZero():
		return otherwise, nil
	case t.Before(minDate) || !t.Before(maxDate):
		return t, invalid(field, "must be in the years 1970 to 9999")
	case t.After(now.Add(MaxClockLead)):
		return t, invalid(field, "must not be more than %s in the future", MaxClockLead)
	}
	return canonical(t), nil
}

// isPlain reports whether s is printable ASCII, as most texts are.
func isPlain[T ~string](s T) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// checkText refuses characters that some store cannot keep.
func checkText(field, s string) error {
	if isPlain(s) {
		return nil
	}
	for i, r := range s {
		switch {
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return invalid(field, "is not valid UTF-8 at byte %d", i)
			}
		case r == 0:
			return invalid(field, "contains NUL at byte %d", i)
		case unicode.IsControl(r) && r != '\n' && r != '\t':
			return invalid(field, "contains the control character U+%04X at byte %d", r, i)
		}
	}
	return nil
}

func isBlank(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !isInvisible(r) })
}

func isInvisible(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}

func checkTitle(title string) error {
	if title == "" {
		return invalid("title", "is required")
	}
	// A character has at most utf8.UTFMax bytes. This check avoids counting the
	// characters of a huge text.
	if len(title) > MaxTitleLength*utf8.UTFMax {
		return invalid("title", "has %d bytes, limit %d characters", len(title), MaxTitleLength)
	}
	if err := checkText("title", title); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(title); n > MaxTitleLength {
		return invalid("title", "has %d characters, limit %d", n, MaxTitleLength)
	}
	if isBlank(title) {
		return invalid("title", "must not be blank")
	}
	return nil
}

func checkComment(comment string, required bool) error {
	if len(comment) > MaxCommentSize {
		return invalid("comment", "has %d bytes, limit %d", len(comment), MaxCommentSize)
	}
	if err := checkText("comment", comment); err != nil {
		return err
	}
	switch {
	case !required:
		return nil
	case comment == "":
		return invalid("comment", "is required")
	case isBlank(comment):
		return invalid("comment", "must not be blank")
	}
	return nil
}

// checkID validates an identifier of the host. If optional is set, it may be empty.
func checkID[T ~string](field string, id T, optional bool) error {
	switch {
	case id == "" && optional:
		return nil
	case id == "":
		return invalid(field, "is required")
	case len(id) > MaxIDSize:
		return invalid(field, "has %d bytes, limit %d", len(id), MaxIDSize)
	case isPlain(id):
		return nil
	}
	if i := strings.IndexAny(string(id), "\n\t"); i >= 0 {
		return invalid(field, "contains the control character U+%04X at byte %d", id[i], i)
	}
	return checkText(field, string(id))
}

// checkIDs validates identifiers, and returns them sorted and without repetitions.
func checkIDs[T ~string](field string, ids []T, limit int) ([]T, error) {
	if len(ids) > limit {
		return nil, invalid(field, "has %d entries, limit %d", len(ids), limit)
	}
	for i, id := range ids {
		var bad *FieldError
		if err := checkID(field, id, false); errors.As(err, &bad) {
			return nil, invalid(field, "entry %d %s", i+1, bad.Problem)
		}
	}
	sorted := slices.Clone(ids)
	slices.Sort(sorted)
	return slices.Compact(sorted), nil
}

func checkKey(key Key) error {
	if err := checkID("organizationId", key.OrganizationID, false); err != nil {
		return err
	}
	if key.Identifier <= 0 {
		return invalid("identifier", "must be positive")
	}
	return nil
}

func checkSlot(s Slot) error {
	if err := checkID("organizationId", s.OrganizationID, false); err != nil {
		return err
	}
	if err := checkID("alertRule", s.AlertRuleID, false); err != nil {
		return err
	}
	if err := checkID("project", s.ProjectID, false); err != nil {
		return err
	}
	return checkID("query", s.QueryID, true)
}

func checkPageSize(limit int) (int, error) {
	switch {
	case limit == 0:
		return DefaultPageSize, nil
	case limit < 0 || limit > MaxPageSize:
		return 0, invalid("limit", "must be 1 to %d", MaxPageSize)
	}
	return limit, nil
}

// checkTitleFilter accepts a part of any title, even if blank.
func checkTitleFilter(title string) error {
	if len(title) > MaxTitleLength*utf8.UTFMax {
		return invalid("title", "has %d bytes, limit %d characters", len(title), MaxTitleLength)
	}
	return checkText("title", title)
}

// checkBound validates a bound of a window of time, which may be in the future, and returns it
// in canonical form.
func checkBound(field string, t time.Time) (time.Time, error) {
	return checkDate(field, t, time.Time{}, maxDate)
}
