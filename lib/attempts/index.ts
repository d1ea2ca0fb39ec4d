export * from './attempts.js'
export * from './captcha-options.js'
