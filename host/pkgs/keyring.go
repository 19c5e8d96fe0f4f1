package pkgs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// ErrSignature is wrapped by the error of an index that nobody trusted signed.
var ErrSignature = errors.New("the signature does not hold")

// trusted gives the files that have the keys apt trusts for all sources.
func trusted() []string {
	var files []string
	for _, p := range []string{
		"/etc/apt/trusted.gpg", "/etc/apt/trusted.gpg.d/*.gpg", "/etc/apt/trusted.gpg.d/*.asc",
		"/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp",
	} {
		m, _ := filepath.Glob(p)
		files = append(files, m...)
	}
	return files
}

// parseKeys reads keys, armored or not.
func parseKeys(b []byte) (openpgp.EntityList, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil
	}
	if bytes.Contains(b, []byte("-----BEGIN PGP PUBLIC KEY")) {
		return openpgp.ReadArmoredKeyRing(bytes.NewReader(b))
	}
	return openpgp.ReadKeyRing(bytes.NewReader(b))
}

// keys are those that may sign a source.
func (s *Source) keys() (openpgp.EntityList, error) {
	if len(s.Keys) > 0 {
		return parseKeys(s.Keys)
	}
	var files, fingerprints []string
	for _, f := range s.SignedBy {
		if strings.ContainsAny(f, `/\.`) {
			files = append(files, f)
		} else {
			fingerprints = append(fingerprints, strings.ToUpper(strings.TrimSuffix(f, "!")))
		}
	}
	named := len(files) > 0
	if !named {
		files = trusted()
	}
	var all openpgp.EntityList
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil {
			var ks openpgp.EntityList
			if ks, err = parseKeys(b); err == nil {
				all = append(all, ks...)
				continue
			}
		}
		if named {
			return nil, fmt.Errorf("keyring of %s: %w", s, err)
		}
	}
	if len(fingerprints) > 0 {
		var some openpgp.EntityList
		for _, e := range all {
			for _, f := range fingerprints {
				if fmt.Sprintf("%X", e.PrimaryKey.Fingerprint) == f {
					some = append(some, e)
				}
			}
		}
		all = some
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no keys to check %s with: give a keyring with --keyring", s)
	}
	return all, nil
}

// verify checks an InRelease and gives what was signed, and that only.
func verify(inRelease []byte, keys openpgp.EntityList, now time.Time) (string, error) {
	b, rest := clearsign.Decode(inRelease)
	if b == nil {
		return "", fmt.Errorf("%w: it is not signed", ErrSignature)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return "", fmt.Errorf("%w: more follows it", ErrSignature)
	}
	if !bytes.HasPrefix(inRelease, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return "", fmt.Errorf("%w: something stands before it", ErrSignature)
	}
	cfg := &packet.Config{Time: func() time.Time { return now }}
	// Of several signatures one by a trusted key is enough. Each is looked at
	// by itself: the library stops at the first whose key it knows.
	var first error
	packets := packet.NewReader(b.ArmoredSignature.Body)
	for range maxSignatures {
		p, err := packets.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrSignature, err)
		}
		sig, ok := p.(*packet.Signature)
		if !ok {
			continue
		}
		var one bytes.Buffer
		if err := sig.Serialize(&one); err != nil {
			return "", fmt.Errorf("%w: %w", ErrSignature, err)
		}
		_, err = openpgp.CheckDetachedSignature(keys, bytes.NewReader(b.Bytes), &one, cfg)
		if err == nil {
			return string(b.Plaintext), nil
		}
		if first == nil || errors.Is(first, pgperrors.ErrUnknownIssuer) {
			first = err
		}
	}
	switch {
	case first == nil:
		first = errors.New("it has none")
	case errors.Is(first, pgperrors.ErrUnknownIssuer):
		first = errors.New("none of the trusted keys made it")
	case errors.Is(first, pgperrors.ErrKeyExpired):
		first = errors.New("the key that made it has expired")
	case errors.Is(first, pgperrors.ErrSignatureExpired):
		first = errors.New("it has expired")
	}
	return "", fmt.Errorf("%w: %w", ErrSignature, first)
}

// maxSignatures bounds what an InRelease has; Debian's have three.
const maxSignatures = 16
