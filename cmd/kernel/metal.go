//go:build baremetal

package main

import _ "husk/kernel/metal"
