// What a distribution's libzmq asks of libraries that the wheel does not carry: Kerberos (GSSAPI), PGM and NORM multicast.
//
// No part of Apus offers those mechanisms and transports. Their functions are here so that the static libzmq links, and each does what the
// library documents for "it cannot be had": libzmq then refuses such an endpoint or mechanism with an error, as one built without it.
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

// GSSAPI: GSS_S_UNAVAILABLE.
#define UNAVAILABLE (16u << 16)
#define GSS(name) \
  uint32_t gss_##name(void) { return UNAVAILABLE; }
GSS(accept_sec_context)
GSS(acquire_cred)
GSS(delete_sec_context)
GSS(display_name)
GSS(import_name)
GSS(init_sec_context)
GSS(release_buffer)
GSS(release_cred)
GSS(release_name)
GSS(unwrap)
GSS(wrap)
void *GSS_C_NT_HOSTBASED_SERVICE = NULL;
void *GSS_C_NT_USER_NAME = NULL;

// PGM. Every context starts it, and may; the first step to an endpoint is refused with "no such device", which libzmq tells as EINVAL.
struct pgm_error {
  int domain, code;
  char *message;
};
static char no_pgm[] = "this libzmq is built without PGM";
static struct pgm_error no_device = {0, 17, no_pgm};

int pgm_init(struct pgm_error **error) { return 1; }
int pgm_shutdown(void) { return 1; }
void pgm_error_free(struct pgm_error *error) {}
void pgm_freeaddrinfo(void *addresses) {}
void pgm_free(void *memory) {}
int pgm_getaddrinfo(const char *network, const void *hints, void **found, struct pgm_error **error) {
  if (error != NULL) *error = &no_device;
  return 0;
}
// Nothing gets to these without an address.
#define FAILING_PGM(name) \
  int pgm_##name(void) { return 0; }
FAILING_PGM(bind3)
FAILING_PGM(close)
FAILING_PGM(connect)
FAILING_PGM(getsockopt)
FAILING_PGM(gsi_create_from_data)
FAILING_PGM(recvmsgv)
FAILING_PGM(send)
FAILING_PGM(setsockopt)
FAILING_PGM(socket)

// NORM: the instance cannot be made, and that is the first thing libzmq asks for. It then ends the program with this error, as it does
// for every NORM endpoint that it cannot use.
const void *const NORM_INSTANCE_INVALID = NULL;
const void *const NORM_SESSION_INVALID = NULL;
const void *const NORM_OBJECT_INVALID = NULL;
const uint32_t NORM_NODE_ANY = 0xffffffff;
#define NO_NORM(name) \
  void *Norm##name(void) { return NULL; }
void *NormCreateInstance(void) {
  errno = EPROTONOSUPPORT;
  return NULL;
}
NO_NORM(CreateSession)
NO_NORM(DestroyInstance)
NO_NORM(DestroySession)
NO_NORM(GetDescriptor)
NO_NORM(GetNextEvent)
NO_NORM(GetRandomSessionId)
NO_NORM(IsUnicastAddress)
NO_NORM(NodeDelete)
NO_NORM(ObjectGetType)
NO_NORM(ObjectGetUserData)
NO_NORM(ObjectSetUserData)
NO_NORM(SetCongestionControl)
NO_NORM(SetDefaultSyncPolicy)
NO_NORM(SetDefaultUnicastNack)
NO_NORM(SetLoopback)
NO_NORM(SetMulticastInterface)
NO_NORM(SetRxPortReuse)
NO_NORM(SetTTL)
NO_NORM(StartReceiver)
NO_NORM(StartSender)
NO_NORM(StopInstance)
NO_NORM(StopReceiver)
NO_NORM(StopSender)
NO_NORM(StreamFlush)
NO_NORM(StreamOpen)
NO_NORM(StreamRead)
NO_NORM(StreamSeekMsgStart)
NO_NORM(StreamWrite)
