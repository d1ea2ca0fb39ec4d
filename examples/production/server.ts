// One process of the application. When it accepts requests, it sends its port to the parent process.
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildApp } from './app.js'
import { readSettings } from './settings.js'

const settings = readSettings(process.env)
const app = await buildApp(settings)

/** Lets balancers notice that this process stops, then finishes the requests that it has accepted. */
async function stop (): Promise<void> {
  app.refuseTraffic()
  await sleep(settings.drainSeconds * 1000)
  await app.close()
  process.disconnect?.()
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    stop().catch((error: unknown) => {
      app.log.error(error)
      process.exitCode = 1
    })
  })
}

await app.listen({ host: settings.host, port: settings.port })
process.send?.({ port: (app.server.address() as AddressInfo).port })
