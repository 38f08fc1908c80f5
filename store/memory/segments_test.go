package memory

import "testing"

func TestSegments_elementsStay(t *testing.T) {
	var r segments[record]
	const n = 10_000
	all := make([]*record, n)
	for i := range n {
		all[i] = r.push()
		all[i].incident.Identifier = int64(i)
	}
	for i, want := range all {
		if got := r.at(i); got != want || got.incident.Identifier != int64(i) {
			t.Fatalf("record %d has moved, or has identifier %d", i, got.incident.Identifier)
		}
	}
	for r.length > 5 {
		r.pop()
	}
	if again := r.push(); again != all[5] || again.incident.Identifier != 0 {
		t.Errorf("push() after pop() = %+v, want a zero element in the same memory", again.incident)
	}
}

// Removing elements keeps the indexes of the others and releases empty segments, also the last.
func TestSegments_removeReleasesMemory(t *testing.T) {
	var r segments[record]
	const n = 5000
	for i := range n {
		r.push().incident.Identifier = int64(i) + 1
	}
	last := 4000
	for i := range n {
		if i != last {
			r.remove(i)
		}
	}
	if got := r.next(0); got > last || r.find(0) != nil || r.find(last).incident.Identifier != int64(last)+1 {
		t.Errorf("next(0) = %d, find(0) = %v, find(%d) = %v; want only element %d", got, r.find(0), last, r.find(last), last)
	}
	r.remove(last)
	for i, s := range r.segments {
		if s != nil {
			t.Errorf("segment %d is in memory, want it released", i)
		}
	}
	if got := r.next(0); got != n || r.find(n) != nil {
		t.Errorf("next(0) = %d, find(%d) = %v; want the end", got, n, r.find(n))
	}
	r.push().incident.Identifier = n + 1
	if got := r.find(n); got == nil || got.incident.Identifier != n+1 || r.next(0) > n {
		t.Errorf("find(%d) = %v, next(0) = %d; want the added element", n, got, r.next(0))
	}
}
