package managertest

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

// tenantlessCache drops the organization from its keys. It is the first part of a key:
// length, colon, name.
type tenantlessCache struct{ incident.Cache }

func withoutOrganization(key string) string {
	length, rest, _ := strings.Cut(key, ":")
	n, err := strconv.Atoi(length)
	if err != nil || n > len(rest) {
		panic("a cache key does not begin with the organization: " + key)
	}
	return rest[n:]
}

func (c *tenantlessCache) Get(ctx context.Context, key string) (incident.CacheEntry, bool) {
	return c.Cache.Get(ctx, withoutOrganization(key))
}

func (c *tenantlessCache) Put(ctx context.Context, key string, e incident.CacheEntry, ttl time.Duration) {
	c.Cache.Put(ctx, withoutOrganization(key), e, ttl)
}

// firstCache keeps the first entry of each key.
type firstCache struct{ incident.Cache }

func (c *firstCache) Put(ctx context.Context, key string, e incident.CacheEntry, ttl time.Duration) {
	if _, ok := c.Get(ctx, key); !ok {
		c.Cache.Put(ctx, key, e, ttl)
	}
}

// trustingCache drops entries without a value, so old entries stay.
type trustingCache struct{ incident.Cache }

func (c *trustingCache) Put(ctx context.Context, key string, e incident.CacheEntry, ttl time.Duration) {
	if data, err := e.MarshalBinary(); err != nil || bytes.Contains(data, []byte(`"state"`)) || bytes.Contains(data, []byte(`"slot"`)) {
		c.Cache.Put(ctx, key, e, ttl)
	}
}

// tardyCache stores an entry some time after Put has returned.
type tardyCache struct {
	incident.Cache
	wg sync.WaitGroup
}

func (c *tardyCache) Put(ctx context.Context, key string, e incident.CacheEntry, ttl time.Duration) {
	c.wg.Go(func() {
		time.Sleep(time.Millisecond)
		c.Cache.Put(ctx, key, e, ttl)
	})
}
