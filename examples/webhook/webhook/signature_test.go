package webhook

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"
)

// The values are those of the reference implementations of Standard Webhooks.
func TestSign_matchesReference(t *testing.T) {
	got := formatSignatures([]Secret{mustSecret(t, wellKnown)}, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("the signature is %s, want %s", got, want)
	}
}

func TestParseSignatures(t *testing.T) {
	const (
		one   = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
		other = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
		v1a   = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
	)
	for name, c := range map[string]struct {
		text string
		want int
		err  error
	}{
		"one":                     {one, 1, nil},
		"two":                     {one + " " + other, 2, nil},
		"others beside":           {"v2,xyz " + v1a + " " + one + " v3", 1, nil},
		"spaces":                  {"  " + one + "  ", 1, nil},
		"the most":                {strings.Repeat(one+" ", maxSignatures), maxSignatures, nil},
		"too many":                {strings.Repeat(one+" ", maxSignatures+1), 0, errTooManySignatures},
		"none":                    {"", 0, errNoSignature},
		"only others":             {"v2,xyz " + v1a, 0, errNoSignature},
		"a name alone":            {"v1", 0, errNoSignature},
		"another case":            {"V1" + one[2:], 0, errNoSignature},
		"empty":                   {"v1,", 0, errBadSignature},
		"one good, one bad":       {one + " v1,x", 0, errBadSignature},
		"no base64":               {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1O!=", 0, errBadSignature},
		"too short":               {"v1,g0hM9SsE+OTPJTGt", 0, errBadSignature},
		"too long":                {"v1," + v1a[4:], 0, errBadSignature},
		"bits behind the end":     {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=", 0, errBadSignature},
		"without padding":         {strings.TrimSuffix(one, "="), 0, errBadSignature},
		"base64 of another table": {"v1,g0hM9SsE-OTPJTGt_tmIKtSyZlE3uFJELVlNIOLJ1OE=", 0, errBadSignature},
		"commas for spaces":       {one + "," + other, 0, errBadSignature},
	} {
		got, err := parseSignatures(c.text)
		if len(got) != c.want || err != c.err {
			t.Errorf("%s: %d signatures and %v, want %d and %v", name, len(got), err, c.want, c.err)
		}
	}
}

func TestParseTimestamp(t *testing.T) {
	if got, err := parseTimestamp("1614265330"); err != nil || !got.Equal(time.Unix(1614265330, 0)) {
		t.Errorf("it is read as %v, %v", got, err)
	}
	if got, err := parseTimestamp(formatTimestamp(now)); err != nil || !got.Equal(now) {
		t.Errorf("%v is read back as %v, %v", now, got, err)
	}
	for _, text := range []string{"", "-1", "+1", "1.5", "0x10", "1_000", " 1", "1e9", "٣", "9223372036854775807", "99999999999999999999"} {
		if got, err := parseTimestamp(text); err != errBadTimestamp {
			t.Errorf("%q is read as %v, %v", text, got, err)
		}
	}
}

// Parsing returns the written signatures, and refuses everything else.
func FuzzParseSignatures(f *testing.F) {
	for _, text := range []string{
		"", "v1", "v1,", " ", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v2,x v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=",
		"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJE\nLVlNIOLJ1OE=", "v1,=", "v1,,v1,", strings.Repeat("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= ", 17),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseSignatures(text)
		if (err == nil) != (len(got) > 0) || len(got) > maxSignatures {
			t.Fatalf("%q is %d signatures and %v", text, len(got), err)
		}
		var parts []string
		for _, signature := range got {
			if len(signature) != 32 {
				t.Fatalf("%q has a signature of %d bytes", text, len(signature))
			}
			part := "v1," + base64.StdEncoding.EncodeToString(signature)
			if !strings.Contains(strings.NewReplacer("\n", "", "\r", "").Replace(text), part) {
				t.Fatalf("%q has no %s", text, part)
			}
			parts = append(parts, part)
		}
		if err != nil {
			return
		}
		again, err := parseSignatures(strings.Join(parts, " "))
		if err != nil || !slices.EqualFunc(again, got, bytes.Equal) {
			t.Fatalf("%q is %x, and that is %x, %v", text, got, again, err)
		}
	})
}
