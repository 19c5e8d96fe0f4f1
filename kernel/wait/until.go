package wait

// Until parks s until ready reports true, looking at once and again after
// each of the queue's events in mask. It returns nil when ready did, else
// what ended the sleep (see Sleeper.Sleep). ready is called without the
// queue's lock.
func (q *Queue) Until(s Sleeper, mask Events, deadline int64, ready func() bool) error {
	if ready() {
		return nil
	}
	w := Waiter{Mask: mask, Sleeper: s}
	q.Add(&w)
	defer q.Remove(&w)
	for {
		if ready() {
			return nil
		}
		if err := s.Sleep(deadline); err != nil {
			if ready() {
				return nil
			}
			return err
		}
	}
}
