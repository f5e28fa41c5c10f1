// The network policy controller of kube-router, alone, with kube-router's own flags. Its router and its service proxy
// are left out: the lab has kube-proxy, and they would bring in BGP, Docker's client and a public cloud's SDK.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"github.com/cloudnativelabs/kube-router/v2/pkg/version"
	"github.com/spf13/pflag"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

func main() {
	klog.InitFlags(nil)
	config := options.NewKubeRouterConfig()
	config.AddFlags(pflag.CommandLine)
	pflag.Parse()
	// klog reads its own level from the standard flags, which count as not parsed until they are.
	_ = flag.CommandLine.Parse(nil)
	_ = flag.Set("v", config.VLevel)
	switch {
	case config.HelpRequested:
		pflag.Usage()
	case config.Version:
		version.PrintVersion(false)
	case config.CleanupConfig:
		(&netpol.NetworkPolicyController{}).Cleanup()
	default:
		if err := run(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// run enforces policies until SIGINT or SIGTERM.
func run(config *options.KubeRouterConfig) error {
	if config.RunRouter || config.RunServiceProxy || config.RunLoadBalancer {
		return fmt.Errorf("this build only enforces policies: give --run-router=false and --run-service-proxy=false")
	}
	access, err := clientcmd.BuildConfigFromFlags(config.Master, config.Kubeconfig)
	if err != nil {
		return fmt.Errorf("no way to the API server: %w", err)
	}
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return fmt.Errorf("no client for the API server: %w", err)
	}
	health, err := healthcheck.NewHealthController(config)
	if err != nil {
		return fmt.Errorf("no health check: %w", err)
	}

	stop := make(chan struct{})
	heartbeats := make(chan *healthcheck.ControllerHeartbeat, 10)
	var running sync.WaitGroup
	defer running.Wait()
	defer close(stop)

	controller, err := controller(client, config, stop)
	if err != nil {
		return err
	}
	health.SetAlive()
	running.Add(3)
	go health.RunServer(stop, &running)
	go health.RunCheck(heartbeats, stop, &running)
	go controller.Run(heartbeats, stop, &running)

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
	return nil
}

// controller returns the policy controller with its view of the cluster filled.
func controller(client kubernetes.Interface, config *options.KubeRouterConfig, stop chan struct{}) (*netpol.NetworkPolicyController, error) {
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	iptables, ipsets, err := netpol.NewIPTablesHandlers(config)
	if err != nil {
		return nil, fmt.Errorf("iptables can not be used: %w", err)
	}
	factory.Start(stop)
	factory.WaitForCacheSync(stop)
	// The kubelet may register this node only after we started.
	var controller *netpol.NetworkPolicyController
	for end := time.Now().Add(config.CacheSyncTimeout); ; time.Sleep(time.Second / 2) {
		controller, err = netpol.NewNetworkPolicyController(
			client, config, pods, policies, namespaces, &sync.Mutex{}, nil, iptables, ipsets)
		if err == nil {
			break
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("no policy controller: %w", err)
		}
	}
	for informer, handler := range map[cache.SharedIndexInformer]cache.ResourceEventHandler{
		pods:       controller.PodEventHandler,
		namespaces: controller.NamespaceEventHandler,
		policies:   controller.NetworkPolicyEventHandler,
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return nil, fmt.Errorf("no events: %w", err)
		}
	}
	return controller, nil
}
