package webhook

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	right     = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	wrong     = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
	otherKind = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)

// The values are those of the standard's test suites.
func TestFormatSignatures_standardValues(t *testing.T) {
	got := formatSignatures([]Secret{mustSecret(t, wellKnown)}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got != right {
		t.Errorf("the signature is %s, want %s", got, right)
	}
}

// A rotated secret's signature is added to the others, separated by a space.
func TestFormatSignatures_ofEachSecret(t *testing.T) {
	secrets := []Secret{NewSecret(), mustSecret(t, wellKnown), NewSecret()}
	d := newDelivery(t, note(), now)
	if got, want := formatSignatures(secrets, d.id, now, d.body), handmade(d, secrets...); got != want {
		t.Errorf("the signatures are %s, want %s", got, want)
	}
}

// verdict returns how a delivery with these signatures is judged: true if right is among
// them.
func verdict(t testing.TB, signatures string) (bool, error) {
	t.Helper()
	h := http.Header{}
	h.Set(HeaderID, "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set(HeaderTimestamp, "1614265330")
	h.Set(HeaderSignature, signatures)
	return signed([]Secret{mustSecret(t, wellKnown)}, h, []byte(`{"test": 2432232314}`)), checkSignatures(signatures)
}

func TestSigned(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want bool
		err  error
	}{
		"a right signature":        {right, true, nil},
		"a wrong signature":        {wrong, false, nil},
		"the right after a wrong":  {wrong + " " + right, true, nil},
		"the right before a wrong": {right + " " + wrong, true, nil},
		"others beside":            {"v2,xyz " + otherKind + " " + right + " v3", true, nil},
		"spaces":                   {"  " + right + "  ", true, nil},
		"the most":                 {strings.Repeat(wrong+" ", maxSignatures-1) + right, true, nil},
		"too many":                 {strings.Repeat(wrong+" ", maxSignatures) + right, true, errTooManySignatures},
		"none":                     {"", false, errNoSignature},
		"only others":              {"v2,xyz " + otherKind, false, errNoSignature},
		"a version alone":          {"v1", false, errNoSignature},
		"without a version":        {right[3:], false, errNoSignature},
		"another case":             {"V1" + right[2:], false, errNoSignature},
		"empty":                    {"v1,", false, nil},
		"no base64":                {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1O!=", false, nil},
		"too short":                {"v1,g0hM9SsE+OTPJTGt", false, nil},
		"too long":                 {"v1," + otherKind[4:], false, nil},
		"bits behind the end":      {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=", false, nil},
		"without padding":          {strings.TrimSuffix(right, "="), false, nil},
		"base64 of another table":  {"v1,g0hM9SsE-OTPJTGt_tmIKtSyZlE3uFJELVlNIOLJ1OE=", false, nil},
		"of another version":       {"v1," + wrong[3:] + " v2" + right[2:], false, nil},
	} {
		if got, err := verdict(t, c.text); got != c.want || err != c.err {
			t.Errorf("%s: %t and %v, want %t and %v", name, got, err, c.want, c.err)
		}
		if c.err != nil {
			continue
		}
		// A right signature counts, with any other text beside it.
		for _, text := range []string{right + " " + c.text, c.text + " " + right} {
			if got, _ := verdict(t, text); !got {
				t.Errorf("%s, beside a right signature: refused", name)
			}
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
	for _, text := range []string{"", "01614265330", "-1", "+1", "1.5", "0x10", "1_000", " 1", "1e9", "٣", "9223372036854775807", "99999999999999999999"} {
		if got, err := parseTimestamp(text); err != errBadTimestamp {
			t.Errorf("%q is read as %v, %v", text, got, err)
		}
	}
}

// A delivery is accepted exactly if the list has the signature, and has not too many.
func FuzzSigned(f *testing.F) {
	for _, text := range []string{
		"", "v1", "v1,", " ", right, right + " v2,x " + wrong, wrong + " " + right, right[:20] + "\n" + right[20:],
		"v1,=", "v1,,v1,", strings.Repeat(right+" ", maxSignatures+1),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := verdict(t, text)
		parts := strings.Split(text, " ")
		want := slices.ContainsFunc(parts, func(part string) bool {
			return part == right || strings.HasPrefix(part, right+",") // the reference ignores further fields
		})
		if got != want {
			t.Errorf("%q: %t, want %t", text, got, want)
		}
		count := len(slices.DeleteFunc(parts, func(part string) bool { return !strings.HasPrefix(part, "v1,") }))
		if (err == nil) != (count > 0 && count <= maxSignatures) {
			t.Errorf("%q with %d signatures: %v", text, count, err)
		}
	})
}
