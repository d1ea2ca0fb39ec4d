import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { Page } from 'playwright-core'
import t from 'tap'
import type { Mail } from '../lib/index.js'
import { ARTHUR, buildApp } from './helpers/build-app.js'
import { openPage, skipWithoutChromium } from './helpers/chromium.js'
import { root } from './helpers/root.js'
import { buildMailApp, samples } from './helpers/mails.js'

const PICTURES = ['mail-reset.png', 'mail-device-narrow.png', 'mail-list.png', 'mail-page-narrow.png'] as const
const WIDE = { width: 700, height: 640 }
const NARROW = { width: 360, height: 720 }

/** Returns the width by which the page is wider than the window, and the texts that are cut. */
function overflowOf (page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
}

/** Saves a picture for the documentation if UPDATE_SCREENSHOT is 1. */
async function take (page: Page, name: (typeof PICTURES)[number]): Promise<void> {
  if (process.env['UPDATE_SCREENSHOT'] === '1') await page.screenshot({ path: join(root, 'docs', name) })
}

t.test('every mail fits into a wide and a narrow window, and loads nothing', { skip: skipWithoutChromium() }, async (t) => {
  const { page, context, faults } = await openPage(t, WIDE)
  const requested: string[] = []
  await context.route('**', (route) => {
    requested.push(route.request().url())
    return route.abort()
  })
  for (const language of ['en', 'de']) {
    const built = await buildMailApp(t, { language })
    for (const [kind, { event, payload, page: path }] of Object.entries(samples)) {
      await built.fire(event, payload as never)
      const { html, subject } = built.mails.at(-1) as Mail // the event caused it
      for (const viewport of [WIDE, NARROW]) {
        await page.setViewportSize(viewport)
        await page.setContent(html)
        t.equal(await overflowOf(page), 0, `${language} ${kind} at ${viewport.width} pixels`)
      }
      t.equal(await page.getByRole('heading', { level: 1 }).innerText(), subject)
      const links = await page.getByRole('link').all()
      t.match(await links[0]?.getAttribute('href'), path, kind)
      t.same(await page.locator('img, script, iframe').count(), 0)
    }
  }
  t.same(requested, [], 'no mail loads anything')
  t.same(faults, [])
})

t.test('mails have enough contrast in light and in dark windows', { skip: skipWithoutChromium() }, async (t) => {
  const { page } = await openPage(t, WIDE)
  const built = await buildMailApp(t)
  const { event, payload } = samples.newDevice
  await built.fire(event, payload as never)
  const { html } = built.mails[0] as Mail // the event caused it
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    await page.setContent(html)
    t.match(await contrasts(page), { lowest: Number }, colorScheme)
    const { lowest, text } = await contrasts(page)
    t.ok(lowest >= 4.5, `${colorScheme}: ${lowest.toFixed(1)} for "${text}" (WCAG 2.2, 1.4.3)`)
  }
  await page.setViewportSize(NARROW)
  await take(page, 'mail-device-narrow.png')
  await page.emulateMedia({ colorScheme: 'light' })
  await built.fire(samples.resetPassword.event, samples.resetPassword.payload as never)
  await page.setViewportSize(WIDE)
  await page.setContent((built.mails[1] as Mail).html)
  await take(page, 'mail-reset.png')
})

t.test('the pages at /dev/mail show mails, whose scripts do not run', { skip: skipWithoutChromium() }, async (t) => {
  const { page, faults } = await openPage(t, WIDE)
  const requested: string[] = []
  const record = (app: FastifyInstance): void => {
    app.addHook('onRequest', async ({ url }) => { requested.push(url) })
  }
  const built = await buildApp(t, {
    mail: {
      send: 'console',
      service: 'Camelot',
      templates: {
        passwordChanged: () => ({
          subject: 'Scripts <script>document.title = "run"</script>',
          text: 'Scripts',
          html: '<p>Scripts</p><script>document.body.textContent = "run"</script><img src="/picture" onerror="document.body.textContent = 1">'
        })
      }
    }
  }, record)
  const origin = await built.app.listen({ host: '127.0.0.1', port: 0 })
  await built.register()
  await built.app.users.settled()
  await built.app.users.forgotPassword(ARTHUR)
  await built.app.users.settled()
  await page.goto(`${origin}/dev/mail`)
  t.equal(await page.locator('li').count(), 2)
  t.equal(await overflowOf(page), 0)
  await take(page, 'mail-list.png')
  await page.getByRole('link', { name: 'Set a new password for Camelot' }).click()
  const frame = page.frameLocator('iframe')
  await frame.getByRole('link', { name: 'Set a new password' }).waitFor()
  const [link] = await page.locator('pre a').all()
  t.match(await link?.getAttribute('href'), /^http:\/\/localhost:\d+\/reset-password#ey/)
  await page.setViewportSize(NARROW)
  t.equal(await overflowOf(page), 0)
  await take(page, 'mail-page-narrow.png')
  t.same(faults, [], 'the policies allow the styles')

  requested.length = 0
  await built.app.users.update((await built.app.users.getByEmail(ARTHUR))?.id as never, { password: 'excalibur-9' })
  await built.app.users.settled()
  await page.goto(`${origin}/dev/mail/3`)
  await frame.getByText('Scripts').waitFor()
  t.match(await page.title(), '<script>', 'the page shows the subject as text')
  t.same(requested, ['/dev/mail/3', '/dev/mail/3/html'], 'the mail loads nothing')
  await page.goto(`${origin}/dev/mail/3/html`)
  t.equal(await page.locator('p').innerText(), 'Scripts', 'the policy holds without the frame, too')
  t.ok(faults.length > 0, 'the browser reports what the policies refuse')
})

t.test('the pictures of the documentation are small', async (t) => {
  for (const name of PICTURES) t.ok(statSync(join(root, 'docs', name)).size < 100_000, name)
})

/** Returns the lowest contrast of a text to its background, and the text (WCAG 2.2, definition of contrast ratio). */
function contrasts (page: Page): Promise<{ lowest: number; text: string }> {
  return page.evaluate(() => {
    const channels = (color: string): number[] => (color.match(/[\d.]+/g) ?? []).map(Number)
    const luminance = (color: string): number => {
      const [r = 0, g = 0, b = 0] = channels(color)
        .slice(0, 3)
        .map((value) => value / 255)
        .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
      return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const backgroundOf = (element: Element | null): string => {
      for (let at = element; at !== null; at = at.parentElement) {
        const { backgroundColor } = getComputedStyle(at)
        if (channels(backgroundColor)[3] !== 0) return backgroundColor
      }
      return 'rgb(255, 255, 255)'
    }
    let lowest = { lowest: 21, text: '' }
    for (const element of document.querySelectorAll('h1, p, a, th, td')) {
      const text = [...element.childNodes].filter(({ nodeType }) => nodeType === 3).map(({ textContent }) => textContent).join('').trim()
      if (text === '') continue
      const [a, b] = [luminance(getComputedStyle(element).color), luminance(backgroundOf(element))]
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
      if (ratio < lowest.lowest) lowest = { lowest: ratio, text }
    }
    return lowest
  })
}
