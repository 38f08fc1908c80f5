package webhook

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

// An unreachable receiver, or a receiver that does not speak HTTP, is retried.
func TestNotifier_Network(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	silent := rawServer(t, "")
	nonsense := rawServer(t, "SSH-2.0-x\r\n\r\n")
	half := rawServer(t, "HTTP/1.1 200 OK\r\nX: ")
	long := rawServer(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
	for name, url := range map[string]string{
		"nobody listens":    gone.URL,
		"no such host":      "https://nowhere.invalid/",
		"plain HTTP":        strings.Replace(plain.URL, "http:", "https:", 1),
		"it says nothing":   silent,
		"another protocol":  nonsense,
		"half an answer":    half,
		"an endless header": long,
	} {
		n := mustNotifier(t, url+"/path-secret?token=query-secret", nil)
		err := n.Notify(t.Context(), note())
		if kind(err) != "again" {
			t.Errorf("%s: %s (%v)", name, kind(err), err)
		}
		checkError(t, err)
	}
}

// rawServer responds to each connection with the text and closes it.
func rawServer(t *testing.T, text string) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan bool)
	t.Cleanup(func() {
		listener.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1<<16))
			_, _ = io.WriteString(conn, text)
			conn.Close()
		}
	}()
	return "http://" + listener.Addr().String()
}

// checkError checks that the error contains no forbidden text.
func checkError(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	if strings.Contains(text, "path-secret") || strings.Contains(text, "query-secret") || strings.Contains(text, "MfKQ9r8") {
		t.Errorf("the error reveals a secret: %q", text)
	}
	if !strings.HasPrefix(text, "webhook: POST to ") || strings.ContainsAny(text, "\n\r\t\x1b") || !utf8.ValidString(text) || len(text) > 500 {
		t.Errorf("the error is %q", text)
	}
}

// notifyAnswered returns the result of Notify for an answer. It takes no time by its clock, so that none of the limits
// for reading the answer is over.
func notifyAnswered(t *testing.T, status int, body string) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := mustNotifier(t, "https://example.com/path-secret?token=query-secret", &Options{
			Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))}, nil
			}),
		})
		err = n.Notify(t.Context(), note())
	})
	return err
}

// The error contains a single line of the receiver's text.
func TestNotifier_ErrorText(t *testing.T) {
	for body, want := range map[string]string{
		"":                                 "400 Bad Request",
		" \n\t ":                           "400 Bad Request",
		"no such hook":                     "400 Bad Request: no such hook",
		"<h1>\r\n\tno\x00such\x1b[2Jhook":  "400 Bad Request: <h1> no such [2Jhook",
		"a\u202eb\u200bc\u2028d\ufeff":     "400 Bad Request: a b c d",
		"bad \xff\xfe utf-8":               "400 Bad Request: bad utf-8",
		strings.Repeat("x", 1000):          "400 Bad Request: " + strings.Repeat("x", 200),
		"1" + strings.Repeat("é", 1000):    "400 Bad Request: 1" + strings.Repeat("é", 99),
		strings.Repeat("y", drainSize*100): "400 Bad Request: " + strings.Repeat("y", 200),
	} {
		err := notifyAnswered(t, http.StatusBadRequest, body)
		checkError(t, err)
		if _, got, _ := strings.Cut(strings.TrimPrefix(err.Error(), "webhook: POST to "), ": "); got != want {
			t.Errorf("%.40q: error %q, want suffix %q", body, err, want)
		}
	}
	// A transport that contains a client puts the URL into its errors.
	inner := &url.Error{Op: "Post", URL: "https://example.com/path-secret", Err: errors.New("refused")}
	n := mustNotifier(t, "https://example.com/path-secret", &Options{
		Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, inner }),
	})
	if err := n.Notify(t.Context(), note()); err == nil || err.Error() != "webhook: POST to example.com: refused" {
		t.Errorf("Notify() = %v", err)
	}
	// The reason phrase is text of the receiver too.
	n = mustNotifier(t, rawServer(t, "HTTP/1.1 500 \x1b[2J\u202e\r\nContent-Length: 0\r\n\r\n"), nil)
	err := n.Notify(t.Context(), note())
	checkError(t, err)
	if !strings.HasSuffix(err.Error(), ": 500 Internal Server Error") {
		t.Errorf("Notify() = %v", err)
	}
}

// A body that is endless or never arrives does not change the outcome and costs little.
func TestNotifier_EndlessBody(t *testing.T) {
	var written atomic.Int64
	n := serve(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := []byte(strings.Repeat("x", 8<<10))
		for r.Context().Err() == nil {
			size, err := w.Write(chunk)
			if written.Add(int64(size)); err != nil {
				return
			}
		}
	}, nil)
	begun := time.Now()
	if err := n.Notify(t.Context(), note()); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > DefaultTimeout*2/3 {
		t.Errorf("it took %v", took)
	}
	if written.Load() > 100<<20 {
		t.Errorf("read %d bytes", written.Load())
	}
}

// slowBody sends a byte per second, or nothing, until the request ends.
type slowBody struct {
	ctx  context.Context
	data bool
	read int
}

func (b *slowBody) Read(p []byte) (int, error) {
	select {
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	case <-time.After(300 * time.Millisecond):
	}
	if !b.data {
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	}
	b.read++
	return copy(p, "x"), nil
}

func (b *slowBody) Close() error { return nil }

func TestNotifier_SlowBody(t *testing.T) {
	for _, c := range []struct {
		status int
		data   bool
		want   string
	}{
		{200, true, "delivered"},
		{200, false, "delivered"},
		{400, true, "again after 5s"},
		{410, true, "given up"},
		{503, false, "again after 5s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := mustNotifier(t, "https://example.com/", &Options{
				Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					return &http.Response{
						StatusCode: c.status, Header: http.Header{"Retry-After": {"5"}}, Body: &slowBody{ctx: r.Context(), data: c.data},
					}, nil
				}),
			})
			begun := time.Now()
			err := n.Notify(t.Context(), note())
			if kind(err) != c.want || time.Since(begun) != drainTime {
				t.Errorf("%d: %s (%v) after %v, want %s after %v", c.status, kind(err), err, time.Since(begun), c.want, drainTime)
			}
		})
	}
}

// A missing response ends with the Notifier's timeout or the caller's context.
func TestNotifier_endsAtTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		for _, c := range []struct {
			own, caller, want time.Duration
			cause             error
		}{
			{0, time.Hour, DefaultTimeout, context.DeadlineExceeded},
			{time.Second, time.Hour, time.Second, context.DeadlineExceeded},
			{time.Hour, 2 * time.Second, 2 * time.Second, context.DeadlineExceeded},
			{time.Hour, 0, 0, context.Canceled},
		} {
			n := mustNotifier(t, "https://example.com/", &Options{Transport: transport, Timeout: c.own})
			ctx, cancel := context.WithCancel(t.Context())
			if c.caller > 0 {
				ctx, cancel = context.WithTimeout(t.Context(), c.caller)
			} else {
				cancel()
			}
			begun := time.Now()
			err := n.Notify(ctx, note())
			if kind(err) != "again" || !errors.Is(err, c.cause) || time.Since(begun) != c.want {
				t.Errorf("%v and %v: %v after %v, want %v after %v", c.own, c.caller, err, time.Since(begun), c.cause, c.want)
			}
			cancel()
		}
	})
	n := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // until then net/http does not notice the end of the connection
		<-r.Context().Done()
	}, &Options{Timeout: 50 * time.Millisecond})
	if err := n.Notify(t.Context(), note()); kind(err) != "again" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Notify() = %v", err)
	}
}
