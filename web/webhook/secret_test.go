package webhook

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestParseSecret(t *testing.T) {
	of := func(size int) string {
		return secretPrefix + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, size))
	}
	const badText = "webhook: a secret must be base64, after whsec_ or alone"
	for name, c := range map[string]struct {
		text string
		want string // the standard format, or the error
	}{
		"the shortest":            {of(24), of(24)},
		"one = of padding":        {of(32), of(32)},
		"two == of padding":       {of(25), of(25)},
		"the longest":             {of(64), of(64)},
		"well known":              {wellKnown, wellKnown},
		"without prefix":          {wellKnown[6:], wellKnown},
		"without padding":         {strings.TrimRight(of(32), "="), of(32)},
		"without two paddings":    {strings.TrimRight(of(25), "="), of(25)},
		"without both":            {strings.Trim(of(32)[6:], "="), of(32)},
		"padded without prefix":   {of(64)[6:], of(64)},
		"the end of a line":       {strings.TrimRight(of(32), "=") + "\n", of(32)},
		"empty":                   {"", "webhook: the key of a secret has 24 to 64 bytes, not 0"},
		"the prefix alone":        {secretPrefix, "webhook: the key of a secret has 24 to 64 bytes, not 0"},
		"the prefix twice":        {secretPrefix + wellKnown, badText},
		"an asymmetric key":       {"whpk_" + wellKnown[6:], badText},
		"half the padding":        {strings.TrimSuffix(of(25), "="), badText},
		"too much padding":        {of(32) + "=", badText},
		"padding without a cause": {wellKnown + "=", badText},
		"no base64":               {"whsec_MfKQ9r8GKYqr!", badText},
		"too short":               {of(23), "webhook: the key of a secret has 24 to 64 bytes, not 23"},
		"too long":                {of(65), "webhook: the key of a secret has 24 to 64 bytes, not 65"},
	} {
		s, err := ParseSecret(c.text)
		got := s.Text()
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	a, b := NewSecret(), NewSecret()
	if again := mustSecret(t, a.Text()); again.Text() != a.Text() || a.Text() == b.Text() || (Secret{}).Text() != "" {
		t.Errorf("new secrets are %s and %s, and the first is read as %s", a.Text(), b.Text(), again.Text())
	}
}

// No way of printing a Secret, or a value that contains one, reveals the key.
func TestSecret_isNeverPrinted(t *testing.T) {
	s := mustSecret(t, secretPrefix+base64.StdEncoding.EncodeToString([]byte("abcdefghijklmnopqrstuvwxyz")))
	n, err := NewNotifier("https://example.com/", []Secret{s}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReceiver([]Secret{s}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, v := range []any{s, &s, []Secret{s}, map[string]Secret{"x": s}, struct{ S Secret }{s}, struct{ s Secret }{s}, n, *n, r, *r} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%b", "%t"} {
			fmt.Fprintf(&text, verb+"\n", v)
		}
		data, _ := json.Marshal(v)
		text.Write(data)
		slog.New(slog.NewJSONHandler(&text, nil)).Info("x", "value", v)
		slog.New(slog.NewTextHandler(&text, nil)).Info("x", "value", v)
	}
	got := strings.ToLower(text.String())
	for _, key := range []string{"abcdef", "616263646566", "97 98 99", "0x61, 0x62", "YWJjZGVm", "1100001 1100010"} {
		if strings.Contains(got, strings.ToLower(key)) {
			t.Errorf("the key is printed, as %q", key)
		}
	}
}
