package inet

// A Link is a network interface card: what a driver offers and a Stack
// drives. Its methods may be called from any goroutine and do not wait.
type Link interface {
	// Address is the card's MAC address.
	Address() [6]byte
	// MTU is the most that a frame carries after its Ethernet header.
	MTU() int
	// Queues is the number of queue pairs. A Stack sends what belongs to one
	// connection through one of them.
	Queues() int
	// Offload is what the card does for the Stack.
	Offload() Offload
	// Up reports whether there is a carrier.
	Up() bool
	// Start begins reception: r is given every frame from then on, and told
	// of changes of the carrier.
	Start(r Receiver) error
	// Transmit sends frames by queue q and returns how many it took; the
	// others found the queue full and may be tried again after r.Room(q).
	// The frames and the memory they point to are the caller's again when it
	// returns, but for frames with Done.
	Transmit(q int, frames []Frame) int
}

// A Receiver is what a Link gives its frames to. Frames come in batches, as
// the device completes them, from one goroutine at a time for each queue.
type Receiver interface {
	// Receive takes frames that arrived by queue q. Frames without Done and
	// their memory are the link's again when it returns.
	Receive(q int, frames []Frame)
	// Room says that a queue that was full has room again.
	Room(q int)
	// Carrier tells of the cable.
	Carrier(up bool)
}

// Offload is what a card does for a Stack.
type Offload struct {
	// SendChecksum: frames may be Partial. ReceiveChecksum: frames that
	// arrive may be Partial or Verified.
	SendChecksum, ReceiveChecksum bool
	// TCP4, TCP6 and UDP: a frame may have a Segment size of that protocol
	// (TSO, USO) and be up to MaxFrame bytes long.
	TCP4, TCP6, UDP bool
	// Merge: frames that arrive may be Segment frames (LRO, GRO).
	Merge    bool
	MaxFrame int
}

// A Frame is one Ethernet frame in memory, or with Segment a train of them.
type Frame struct {
	// Pieces are the frame's bytes, the Ethernet header first; headers lie
	// in the first piece.
	Pieces [][]byte
	// Partial: the checksum from Start on is to be stored at Start+Offset;
	// what is there is the sum of the pseudo header (virtio's NEEDS_CSUM).
	Partial       bool
	Start, Offset uint16
	// Verified: the device has checked the checksum.
	Verified bool
	// Segment is the largest payload of one of the frames of the train after
	// Header bytes of headers; 0 for a frame alone.
	Segment, Header uint16
	Protocol        Segmentation
	// Done, when it is set, is called once by who was given the frame, when
	// nothing refers to its memory any more, on any goroutine.
	Done func()
}

// Segmentation is the protocol of a train of frames.
type Segmentation uint8

// The kinds of trains, as virtio's header counts them.
const (
	SegmentNone Segmentation = iota
	SegmentTCP4
	SegmentTCP6
	SegmentUDP
)

// Len is the number of bytes of the frame.
func (f *Frame) Len() int {
	n := 0
	for _, p := range f.Pieces {
		n += len(p)
	}
	return n
}
