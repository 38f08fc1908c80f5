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
