package coherence

import "sync/atomic"

// counters are the counters that all keys share. Hits are counted by stripe, because a shared
// counter would slow down readers on several processors.
type counters struct {
	misses, bypassed, staleDrops, loadsShared, told, resets atomic.Uint64
}

// Stats has the counters of an Engine.
type Stats struct {
	Hits, Misses uint64 // look-ups
	Bypassed     uint64 // look-ups that were not made
	StaleDrops   uint64 // entries that were kept out of the cache or replaced, for a newer version
	LoadsShared  uint64 // loads that the fetch of another caller has answered
	Told         uint64 // versions that the feed has reported
	Resets       uint64 // generations that have ended
}

// Stats returns the counters. They are read one after the other, while calls continue.
func (c *Engine) Stats() Stats {
	n := &c.counters
	s := Stats{
		Misses: n.misses.Load(), Bypassed: n.bypassed.Load(), StaleDrops: n.staleDrops.Load(),
		LoadsShared: n.loadsShared.Load(), Told: n.told.Load(), Resets: n.resets.Load(),
	}
	for i := range c.stripes {
		s.Hits += c.stripes[i].hits.Load()
	}
	return s
}
