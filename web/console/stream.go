package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// A stream has these events. None has data: the page asks for itself again, as the viewer.
//
//	event: change   The viewer's incidents may have changed. At most one a second.
//	event: signin   The viewer is signed out, or is another user. The stream ends.
//
// The page opens a stream again that ends without signin. An answer of status 204 means that there are no
// streams, since Run does not run: the page asks for itself every 10 s instead.
const (
	changeEvent = "event: change\ndata\n\n"
	signInEvent = "event: signin\ndata\n\n"
	heartbeat   = ": heartbeat\n\n"
)

const (
	// eventInterval is the least time between two changes of a stream.
	eventInterval = time.Second

	// heartbeatInterval is how often a stream writes at least, so that no proxy takes it
	// for dead, and so that the end of a client is noticed.
	heartbeatInterval = 15 * time.Second

	// viewerInterval is how often the viewer of a stream is authenticated again.
	viewerInterval = time.Minute

	// eventTimeout bounds a write to a client.
	eventTimeout = 10 * time.Second
)

// live returns how pages learn of changes: "sse" for streams, or "poll".
func (c *console) live() string {
	if c.options.MaxStreams > 0 && c.manager.Stats().Running {
		return "sse"
	}
	return "poll"
}

// stream answers with server-sent events until the viewer leaves.
func (c *console) stream(req *request) error {
	switch req.r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default: // a page of another site must not use up the streams
		return errCrossSite
	}
	if c.live() != "sse" || req.r.Method == http.MethodHead {
		req.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	l := c.hub.join(req.viewer)
	if l == nil {
		req.w.Header().Set("Retry-After", "60")
		http.Error(req.w, "Too many streams", http.StatusServiceUnavailable)
		return nil
	}
	defer c.hub.leave(l)
	s := &eventStream{w: req.w, control: http.NewResponseController(req.w)}
	if !s.begin() {
		return nil
	}
	c.listen(req, l, s)
	return nil
}

// listen writes the events of a listener.
func (c *console) listen(req *request, l *listener, s *eventStream) {
	beat, again := time.NewTicker(heartbeatInterval), time.NewTicker(viewerInterval)
	defer beat.Stop()
	defer again.Stop()
	var due <-chan time.Time // of the next change. Nil if nothing has changed.
	var last time.Time       // when a change was written
	var err error
	for err == nil {
		changed := false
		select {
		case <-req.Done():
			return
		case <-l.ended():
			return
		case <-l.wake:
			changed = true
		case <-due:
			due, last = nil, time.Now()
			err = s.write(changeEvent)
		case <-beat.C:
			err = s.write(heartbeat)
		case <-again.C:
			if err = c.authenticateAgain(req); errors.Is(err, ErrSignIn) {
				_ = s.write(signInEvent) // the stream ends in any case
				return
			}
			changed = c.hub.admit(l, req.viewer)
		}
		if changed && due == nil {
			due = time.After(time.Until(last.Add(eventInterval)))
		}
	}
}

// authenticateAgain renews the viewer of a stream. It returns ErrSignIn if the viewer is gone.
func (c *console) authenticateAgain(req *request) error {
	ctx, cancel := context.WithTimeout(req, c.options.Timeout)
	defer cancel()
	v, err := c.authenticate(ctx, req.r)
	switch {
	case errors.Is(err, ErrSignIn), req.Err() != nil:
		return err
	case err != nil:
		c.options.Logger.ErrorContext(req, "console: a viewer could not be authenticated again; the stream ends", "error", err)
		return err
	case v.Organization != req.viewer.Organization || v.User != req.viewer.User:
		return fmt.Errorf("%w: the viewer has changed", ErrSignIn)
	}
	req.viewer = v
	return nil
}

// eventStream writes events to a client.
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// begin sends the header. It reports whether the connection can have a stream: a middleware that
// keeps the answer until its end is answered with 204.
func (s *eventStream) begin() bool {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // of nginx
	_ = s.control.SetWriteDeadline(time.Now().Add(eventTimeout))
	switch err := s.control.Flush(); {
	case errors.Is(err, http.ErrNotSupported):
		h.Del("Content-Type")
		s.w.WriteHeader(http.StatusNoContent)
		return false
	case err != nil:
		return false
	}
	// The clients of a server that restarts must not return all at once.
	return s.write(fmt.Sprintf("retry: %d\n\n", 2000+rand.IntN(3000))) == nil
}

// write sends a text now. It fails if the client does not read for eventTimeout.
func (s *eventStream) write(text string) error {
	// Without support, the server's own limits apply.
	if err := s.control.SetWriteDeadline(time.Now().Add(eventTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := io.WriteString(s.w, text); err != nil {
		return err
	}
	return s.control.Flush()
}
