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
	for name, c := range map[string]struct {
		text, want string // want is of the error
	}{
		"the shortest":   {of(24), ""},
		"the longest":    {of(64), ""},
		"well known":     {wellKnown, ""},
		"empty":          {"", "webhook: a secret must begin with whsec_"},
		"without prefix": {"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "webhook: a secret must begin with whsec_"},
		"no base64":      {"whsec_MfKQ9r8GKYqr!", "webhook: a secret must be base64 after whsec_"},
		"too short":      {of(23), "webhook: the key of a secret has 24 to 64 bytes, not 23"},
		"too long":       {of(65), "webhook: the key of a secret has 24 to 64 bytes, not 65"},
	} {
		s, err := ParseSecret(c.text)
		if got := fmt.Sprint(err); c.want != "" && got != c.want || c.want == "" && err != nil {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
		if err == nil && s.Text() != c.text {
			t.Errorf("%s: Text() = %q, want %q", name, s.Text(), c.text)
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
