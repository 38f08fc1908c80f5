package incident_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

func TestParseKey_isTheInverseOfString(t *testing.T) {
	for _, organization := range []incident.OrganizationID{"acme", "a#b", "#", "##1", "a#1", "Größe 1", " ", incident.OrganizationID(strings.Repeat("x", 255))} {
		for _, identifier := range []int64{1, 42, 1<<63 - 1} {
			key := incident.Key{OrganizationID: organization, Identifier: identifier}
			if got, err := incident.ParseKey(key.String()); got != key || err != nil {
				t.Errorf("ParseKey(%q) = %v, %v", key, got, err)
			}
		}
	}
}

func TestParseKey_refusesOtherTexts(t *testing.T) {
	for _, text := range []string{
		"", "#", "#1", "acme", "acme#", "acme#0", "acme#-1", "acme#+1", "acme#01", "acme# 1", "acme#1 ", "acme#1#", "acme#1.0", "acme#0x1",
		"acme#1_0", "acme#9223372036854775808", "acme#١", "a\nb#1", "a\x00#1", "a\xff#1", strings.Repeat("x", 256) + "#1",
	} {
		got, err := incident.ParseKey(text)
		var field *incident.FieldError
		if got != (incident.Key{}) || !errors.Is(err, incident.ErrInvalid) || !errors.As(err, &field) {
			t.Errorf("ParseKey(%q) = %v, %v", text, got, err)
		}
	}
}

// parses checks that parse is the inverse of the labels and numbers of exactly the values whose
// label is not the number's fallback.
func parses[T interface {
	~int
	fmt.Stringer
}](t *testing.T, name string, parse func(string) (T, error), want int) {
	t.Helper()
	known := 0
	for n := -10; n < 300; n++ {
		v := T(n)
		named := !strings.HasSuffix(v.String(), "("+strconv.Itoa(n)+")")
		if named {
			known++
		}
		for _, text := range []string{v.String(), strconv.Itoa(n)} {
			got, err := parse(text)
			switch {
			case named && (got != v || err != nil):
				t.Errorf("%s(%q) = %v, %v", name, text, got, err)
			case !named && (got != 0 || !errors.Is(err, incident.ErrInvalid)):
				t.Errorf("%s(%q) = %v, %v, want ErrInvalid", name, text, got, err)
			}
		}
		for _, text := range []string{" " + v.String(), strings.ToLower(v.String()), v.String() + "\n", "0" + strconv.Itoa(n), "+" + strconv.Itoa(n)} {
			if got, err := parse(text); !errors.Is(err, incident.ErrInvalid) {
				t.Errorf("%s(%q) = %v, %v, want ErrInvalid", name, text, got, err)
			}
		}
	}
	if _, err := parse(""); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("%s of nothing is %v", name, err)
	}
	if known != want {
		t.Errorf("%s knows %d values, want %d", name, known, want)
	}
}

func TestParseEnums_areTheInversesOfLabelsAndNumbers(t *testing.T) {
	parses(t, "ParseStatus", incident.ParseStatus, 4)
	parses(t, "ParseStatusMethod", incident.ParseStatusMethod, 3)
	parses(t, "ParseType", incident.ParseType, 2)
	parses(t, "ParseTriggerStatus", incident.ParseTriggerStatus, 2)
	parses(t, "ParseActivityType", incident.ParseActivityType, 13)
}
