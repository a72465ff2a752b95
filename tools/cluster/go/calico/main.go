// Calico's two programs of a node: Felix, which turns NetworkPolicies into packet filters, and the CNI plugin, which joins
// a pod to the node's network. The name it is called by says which one it is.
package main

import (
	"os"
	"path/filepath"

	"github.com/projectcalico/calico/cni-plugin/pkg/plugin"
	"github.com/projectcalico/calico/felix/daemon"
)

const version = "v3.28.5"

func main() {
	if filepath.Base(os.Args[0]) != "felix" {
		plugin.Main(version)
		return
	}
	// Everything is set by FELIX_ variables; the file is Felix's other way, and may be missing.
	daemon.Run("/etc/calico/felix.cfg", version, "", "")
}
