package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// limits bound the resources that a client can hold.
type limits struct {
	header     time.Duration // from the first byte to the end of the header
	read       time.Duration // to the end of the body
	handle     time.Duration // of a handler, including its store calls
	write      time.Duration // from the end of the header to the end of the answer
	idle       time.Duration // between two requests of a connection
	shutdown   time.Duration // for requests in progress when the server stops
	headerSize int
}

var defaultLimits = limits{
	header:     5 * time.Second,
	read:       15 * time.Second,
	handle:     10 * time.Second,
	write:      30 * time.Second,
	idle:       time.Minute,
	shutdown:   20 * time.Second,
	headerSize: 16 << 10,
}

func newServer(h http.Handler, l limits, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: l.header,
		ReadTimeout:       l.read,
		WriteTimeout:      l.write,
		IdleTimeout:       l.idle,
		MaxHeaderBytes:    l.headerSize,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// serve handles requests until ctx ends. Then it accepts no more, and waits for the
// requests in progress.
func serve(ctx context.Context, s *http.Server, listener net.Listener, shutdown time.Duration) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdown)
	defer cancel()
	err := s.Shutdown(ending)
	if err != nil {
		_ = s.Close() // adds nothing to the error of Shutdown
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		return ended
	}
	return err
}
