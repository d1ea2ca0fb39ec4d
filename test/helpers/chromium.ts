import { existsSync } from 'node:fs'
import { chromium, type BrowserContext, type Page } from 'playwright-core'
import t, { type Test } from 'tap'

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium'
const SWITCHES = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]

/**
 * A page of a new browser. `faults` are the messages of its console: errors of scripts and the statuses of failed
 * requests.
 */
export interface OpenedPage {
  page: Page
  context: BrowserContext
  faults: string[]
}

/** Returns the reason to skip tests of the browser, or false. Throws with REQUIRE_SERVICES=1. */
export function skipWithoutChromium (): string | false {
  const missing = existsSync(EXECUTABLE) ? false : `${EXECUTABLE} is not installed: apt-get install chromium`
  if (missing !== false && process.env.REQUIRE_SERVICES === '1') t.fail(missing)
  return missing
}

export async function openPage (t: Test, viewport: { width: number; height: number }): Promise<OpenedPage> {
  const browser = await chromium.launch({
    executablePath: EXECUTABLE,
    headless: true,
    args: SWITCHES,
    timeout: 120_000
  })
  t.teardown(() => browser.close())
  const context = await browser.newContext({ viewport })
  context.setDefaultTimeout(60_000) // the machine may be busy
  const page = await context.newPage()
  const faults: string[] = []
  page.on('console', (message) => {
    const [, status] = /the server responded with a status of (\d+)/.exec(message.text()) ?? []
    if (message.type() === 'error' || message.type() === 'warning') faults.push(status ?? message.text())
  })
  page.on('pageerror', ({ message }) => {
    faults.push(message)
  })
  return { page, context, faults }
}
