export * from './attempts.js'
export * from './captcha-options.js'
export * from './counter-model.js'
export * from './limit-options.js'
